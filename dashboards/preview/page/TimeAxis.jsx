import { dateTimeFormat } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';

/** Height of a time axis in pixels. */
export const AXIS_HEIGHT = 22;
const TICK_SPACING = 110;

/** Clock times below an SVG plot that goes from `left` over `width` pixels. */
export function TimeAxis({ range, timeZone, left, width, height }) {
  const theme = useTheme2();
  const count = Math.max(1, Math.floor(width / TICK_SPACING));
  return Array.from({ length: count }, (_, tick) => {
    const share = (tick + 0.5) / count;
    return (
      <text key={tick} x={left + share * width} y={height - 6} textAnchor="middle" fill={theme.colors.text.primary}>
        {dateTimeFormat(range.from + share * (range.to - range.from), { format: 'HH:mm:ss', timeZone })}
      </text>
    );
  });
}
