import { parseArgs } from 'node:util';

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
 * Runs a command: reads its options, answers `--help` with `usage`, and turns a {@link Problem} into exit code 1.
 * @param {string} usage
 * @param {import('node:util').ParseArgsOptionsConfig} known the options beside `--help`
 * @param {(options: object, positionals: string[]) => Promise<void>} main
 */
export async function run(usage, known, main) {
  try {
    const { values: options, positionals } = parse(known);
    if (options.help) {
      console.log(usage);
      return;
    }
    await main(options, positionals);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    console.error(`error: ${error.message}\n\nhint: ${error.hint}`);
    process.exitCode = 1;
  }
}

function parse(known) {
  try {
    return parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h' }, ...known } });
  } catch (error) {
    throw new Problem(error.message, 'see --help');
  }
}
