import { formattedValueToString, getFieldDisplayName, getValueFormat } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import * as schemes from 'd3-scale-chromatic';
import { AXIS_HEIGHT, TimeAxis } from './TimeAxis.jsx';

const NAME_WIDTH = 56;

/** One row a bucket, one cell a step, the brighter the more. Grafana's own is not part of the published packages. */
export function Heatmap({ frames, options, width, height, range, timeZone }) {
  const theme = useTheme2();
  const format = getValueFormat(options.yAxis?.unit);
  const rows = frames.map((frame) => {
    const [time, value] = frame.fields;
    const name = getFieldDisplayName(value, frame, frames);
    return { name: Number.isFinite(Number(name)) ? formattedValueToString(format(Number(name))) : name, time, values: value.values };
  });
  const shown = (value) => value !== null && value > (options.filterValues?.le ?? 1e-9);
  const most = Math.max(...rows.flatMap(({ values }) => values.filter(shown)));
  const plotWidth = width - NAME_WIDTH;
  const rowHeight = (height - AXIS_HEIGHT) / rows.length;
  const namedRow = Math.ceil(14 / rowHeight);
  const x = (time) => NAME_WIDTH + ((time - range.from) / (range.to - range.from)) * plotWidth;
  return (
    <svg {...{ width, height }} fontFamily={theme.typography.fontFamily} fontSize={12}>
      {rows.map(({ name, time, values }, row) => {
        const top = (rows.length - 1 - row) * rowHeight;
        return (
          <g key={name}>
            {row % namedRow === 0 && (
              <text x={NAME_WIDTH - 8} y={top + rowHeight / 2 + 4} textAnchor="end" fill={theme.colors.text.primary}>{name}</text>
            )}
            {values.map((value, index) => shown(value) && (
              <rect
                key={index}
                x={x(time.values[index] - time.config.interval)}
                y={top}
                width={x(time.config.interval) - x(0)}
                height={rowHeight}
                fill={colorOf(value / most, options.color, theme.isDark)}
                shapeRendering="crispEdges"
              />
            ))}
          </g>
        );
      })}
      <TimeAxis {...{ range, timeZone, height }} left={NAME_WIDTH} width={plotWidth} />
    </svg>
  );
}

/** On a dark page the schemes are turned round, so that little is dark and much is bright. */
function colorOf(share, { scheme = 'Oranges', reverse = false } = {}, dark) {
  const interpolate = schemes[`interpolate${scheme}`] ?? schemes.interpolateOranges;
  return interpolate(dark !== reverse ? 1 - share : share);
}
