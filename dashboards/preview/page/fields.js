import { applyFieldOverrides, createDataFrame, Registry, transformDataFrame } from '@grafana/data';
import { firstValueFrom } from 'rxjs';

const STANDARD = [
  'color', 'decimals', 'displayName', 'fieldMinMax', 'filterable', 'links', 'mappings', 'max', 'min', 'noValue', 'thresholds', 'unit',
];

/**
 * Every option is taken over as it stands. Grafana registers them panel by panel, with editors; the panels' own
 * registrations are not part of the published packages, so the options that this panel uses are registered here.
 */
function registryFor({ defaults = {}, overrides = [] }) {
  const custom = new Set(Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`));
  for (const { properties } of overrides) {
    for (const { id } of properties) if (id.startsWith('custom.')) custom.add(id);
  }
  const item = (id, isCustom) => ({
    id,
    name: id,
    path: isCustom ? id.slice('custom.'.length) : id,
    isCustom,
    editor: () => null,
    override: () => null,
    process: (value) => value,
    shouldApply: () => true,
    settings: {},
  });
  return new Registry(() => [...STANDARD.map((id) => item(id, false)), ...[...custom].map((id) => item(id, true))]);
}

/** Turns a panel's plain frames into Grafana's: transformed, with units, colours and display functions. */
export async function prepareFrames(panel, theme, timeZone) {
  const fieldConfig = withBaseThreshold(panel.fieldConfig ?? { defaults: {}, overrides: [] });
  const frames = panel.frames.map(createDataFrame);
  const transformations = (panel.transformations ?? []).filter(({ disabled }) => !disabled);
  const data = transformations.length > 0 ? await firstValueFrom(transformDataFrame(transformations, frames)) : frames;
  return {
    fieldConfig,
    frames: applyFieldOverrides({
      data,
      fieldConfig,
      fieldConfigRegistry: registryFor(fieldConfig),
      replaceVariables: (text) => text,
      theme,
      timeZone,
    }),
  };
}

/** Of a panel that has none of its own. */
const DEFAULT_THRESHOLDS = { mode: 'absolute', steps: [{ value: null, color: 'green' }, { value: 80, color: 'red' }] };

/** JSON has no infinity: the lowest step of a list of thresholds is written as null. */
function withBaseThreshold(config) {
  const lowest = (thresholds) => thresholds && {
    ...thresholds,
    steps: thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })),
  };
  return {
    defaults: { ...config.defaults, thresholds: lowest(config.defaults?.thresholds ?? DEFAULT_THRESHOLDS) },
    overrides: (config.overrides ?? []).map((rule) => ({
      ...rule,
      properties: rule.properties.map((property) =>
        property.id === 'thresholds' ? { ...property, value: lowest(property.value) } : property),
    })),
  };
}
