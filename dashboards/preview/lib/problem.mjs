/** A mistake of the caller or of the surroundings: printed as a sentence and a hint, without a stack. */
export class Problem extends Error {
  /**
   * @param {string} message names the thing and the value
   * @param {string} hint says what to do about it
   */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/**
 * Runs a command's main function and turns a {@link Problem} into exit code 1.
 * @param {() => Promise<void>} main
 */
export async function run(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    console.error(`error: ${error.message}\n\nhint: ${error.hint}`);
    process.exitCode = 1;
  }
}
