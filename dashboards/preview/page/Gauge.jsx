import { formattedValueToString } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';

const START = -120;
const SWEEP = 240;

/** A dial from min to max, with the thresholds on its rim. Grafana's own dial is not part of the published packages. */
export function Gauge({ display, field, width, height, showName }) {
  const theme = useTheme2();
  const name = showName ? display.title : '';
  const space = height - (name ? 22 : 0);
  const radius = Math.max(10, Math.min(width / 2, space / 1.55) - 8);
  const [cx, cy] = [width / 2, radius + 6];
  const min = field.min ?? 0;
  const max = field.max ?? 100;
  const share = (value) => Math.min(1, Math.max(0, (value - min) / (max - min)));
  const steps = field.thresholds?.steps ?? [];
  const arc = (from, to, at) => describeArc(cx, cy, at, START + SWEEP * from, START + SWEEP * to);
  return (
    <svg {...{ width, height }} fill="none" fontFamily={theme.typography.fontFamily} textAnchor="middle">
      <path d={arc(0, 1, radius * 0.86)} stroke={theme.colors.background.secondary} strokeWidth={radius * 0.2} />
      <path d={arc(0, share(display.numeric), radius * 0.86)} stroke={display.color} strokeWidth={radius * 0.2} />
      {steps.map(({ value, color }, index) => (
        <path
          key={value}
          d={arc(share(value), share(steps[index + 1]?.value ?? max), radius)}
          stroke={theme.visualization.getColorByName(color)}
          strokeWidth={radius * 0.04}
        />
      ))}
      <text x={cx} y={cy + radius * 0.15} fontSize={radius * 0.36} fontWeight={500} fill={display.color}>
        {formattedValueToString(display)}
      </text>
      {name && <text x={cx} y={height - 6} fontSize={14} fill={theme.colors.text.primary}>{name}</text>}
    </svg>
  );
}

function describeArc(cx, cy, radius, from, to) {
  const point = (degrees) => {
    const angle = ((degrees - 90) * Math.PI) / 180;
    return `${cx + radius * Math.cos(angle)} ${cy + radius * Math.sin(angle)}`;
  };
  return `M ${point(from)} A ${radius} ${radius} 0 ${to - from > 180 ? 1 : 0} 1 ${point(to)}`;
}
