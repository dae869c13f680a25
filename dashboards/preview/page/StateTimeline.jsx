import { formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { AXIS_HEIGHT, TimeAxis } from './TimeAxis.jsx';


/** One lane a series, one block a value for as long as it lasts. Grafana's own is not part of the published packages. */
export function StateTimeline({ frames, options, width, height, range, timeZone }) {
  const theme = useTheme2();
  const lanes = frames.flatMap((frame) => {
    const time = frame.fields.find(({ type }) => type === 'time');
    return frame.fields
      .filter((field) => time && field !== time)
      .map((field) => ({ name: getFieldDisplayName(field, frame, frames), blocks: blocksOf(time, field, range) }));
  });
  const nameWidth = 12 + 7 * Math.max(...lanes.map(({ name }) => name.length));
  const plotWidth = width - nameWidth;
  const laneHeight = (height - AXIS_HEIGHT) / lanes.length;
  const barHeight = laneHeight * (options.rowHeight ?? 0.9);
  const x = (time) => nameWidth + ((time - range.from) / (range.to - range.from)) * plotWidth;
  return (
    <svg {...{ width, height }} fontFamily={theme.typography.fontFamily} fontSize={12}>
      {lanes.map(({ name, blocks }, lane) => {
        const top = lane * laneHeight + (laneHeight - barHeight) / 2;
        return (
          <g key={name}>
            <text x={nameWidth - 8} y={top + barHeight / 2 + 4} textAnchor="end" fill={theme.colors.text.primary}>{name}</text>
            {blocks.map(({ from, to, display }) => {
              const text = formattedValueToString(display);
              const block = x(to) - x(from);
              return (
                <g key={from}>
                  <rect x={x(from)} y={top} width={Math.max(1, block)} height={barHeight} fill={display.color} fillOpacity={0.75} />
                  {options.showValue !== 'never' && block > 8 * text.length && (
                    <text x={x(from) + block / 2} y={top + barHeight / 2 + 4} textAnchor="middle" fill={theme.colors.text.maxContrast}>{text}</text>
                  )}
                </g>
              );
            })}
          </g>
        );
      })}
      <TimeAxis {...{ range, timeZone, height }} left={nameWidth} width={plotWidth} />
    </svg>
  );
}

/** Equal neighbours make one block. A value lasts for one step, or until the next one where samples are missing. */
function blocksOf(time, field, range) {
  const step = time.config.interval ?? Infinity;
  const blocks = [];
  field.values.forEach((value, index) => {
    if (value === null) return;
    const from = time.values[index];
    const to = Math.min(from + step, time.values[index + 1] ?? range.to, range.to);
    const last = blocks.at(-1);
    const display = field.display(value);
    if (last?.to === from && formattedValueToString(last.display) === formattedValueToString(display)) last.to = to;
    else blocks.push({ from, to, display });
  });
  return blocks;
}
