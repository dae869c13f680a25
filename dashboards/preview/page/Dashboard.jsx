import { dateTimeFormat } from '@grafana/data';
import { Icon, InlineLabel, PanelChrome, Stack, ToolbarButton, useTheme2 } from '@grafana/ui';
import { GRID } from '../lib/grid.mjs';
import { PanelBody } from './PanelBody.jsx';

/** The page of one dashboard: header, then every panel at its place in the grid. */
export function Dashboard({ title, range, variables, panels, annotations, links, width, timeZone }) {
  const theme = useTheme2();
  const margin = theme.spacing.gridSize * 2;
  return (
    <div id="dashboard" style={{ width, padding: margin, background: theme.colors.background.canvas }}>
      <Header {...{ title, range, links, timeZone }} variables={variables.filter(({ inHeader }) => inHeader)} />
      <Grid {...{ panels, range, annotations, timeZone }} width={width - 2 * margin} />
    </div>
  );
}

function Header({ title, range, variables, links, timeZone }) {
  const format = { format: 'YYYY-MM-DD HH:mm:ss', timeZone };
  return (
    <Stack direction="column" gap={1.5}>
      <Stack justifyContent="space-between" alignItems="center">
        <h1 style={{ fontSize: 20, margin: 0 }}>{title}</h1>
        <ToolbarButton icon="clock-nine" variant="canvas">
          {`${dateTimeFormat(range.from, format)} to ${dateTimeFormat(range.to, format)} UTC`}
        </ToolbarButton>
      </Stack>
      <Stack justifyContent="space-between" alignItems="center" wrap="wrap">
        <Stack gap={1} wrap="wrap">
          {variables.map(({ name, label, shown }) => (
            <div key={name} style={{ display: 'flex' }}>
              <InlineLabel width="auto">{label}</InlineLabel>
              <ToolbarButton variant="canvas" isOpen={false}>{shown}</ToolbarButton>
            </div>
          ))}
        </Stack>
        <Stack gap={1}>{links.map((link) => <ToolbarButton key={link} variant="canvas" icon="external-link-alt">{link}</ToolbarButton>)}</Stack>
      </Stack>
    </Stack>
  );
}

function Grid({ panels, width, ...view }) {
  const { columns, rowHeight, gap } = GRID;
  const column = (width - gap * (columns - 1)) / columns;
  const span = (count, unit) => count * unit + Math.max(0, count - 1) * gap;
  const bottom = Math.max(0, ...panels.map(({ gridPos: { y, h } }) => y + h));
  return (
    <div style={{ position: 'relative', height: span(bottom, rowHeight), marginTop: 16 }}>
      {panels.map((panel) => {
        const { x, y, w, h } = panel.gridPos;
        const box = { left: x * (column + gap), top: y * (rowHeight + gap), width: span(w, column), height: span(h, rowHeight) };
        return (
          <div key={panel.id} style={{ position: 'absolute', ...box }}>
            {panel.type === 'row'
              ? <Row panel={panel} />
              : <Panel {...view} panel={panel} width={Math.floor(box.width)} height={box.height} />}
          </div>
        );
      })}
    </div>
  );
}

function Row({ panel }) {
  return (
    <Stack alignItems="center" gap={1} height="100%">
      <Icon name={panel.collapsed ? 'angle-right' : 'angle-down'} />
      <h3 style={{ fontSize: 16, margin: 0 }}>{panel.title}</h3>
      {panel.collapsed && <span>({panel.panels?.length ?? 0} panels)</span>}
    </Stack>
  );
}

function Panel({ panel, width, height, ...view }) {
  return (
    <PanelChrome
      title={panel.title}
      description={panel.description}
      displayMode={panel.transparent ? 'transparent' : 'default'}
      padding={panel.type === 'table' ? 'none' : 'md'}
      {...{ width, height }}
    >
      {(innerWidth, innerHeight) => <PanelBody {...view} panel={panel} width={innerWidth} height={innerHeight} />}
    </PanelChrome>
  );
}
