import { dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues, renderTextPanelMarkdown, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useLayoutEffect } from 'react';
import { Gauge } from './Gauge.jsx';
import { Heatmap } from './Heatmap.jsx';
import { StateTimeline } from './StateTimeline.jsx';

const BODIES = {
  text: Text,
  timeseries: Series,
  stat: Stat,
  bargauge: Bars,
  gauge: Gauges,
  heatmap: Heatmap,
  table: Table,
  'state-timeline': StateTimeline,
};

/** The inside of one panel, by its type. */
export function PanelBody(props) {
  const { panel, width, height } = props;
  const Body = BODIES[panel.type];
  if (!Body) return <Message {...{ width, height }}>{`The preview draws no panels of type ${panel.type}`}</Message>;
  if (panel.type !== 'text' && panel.prepared.frames.every(({ length }) => length === 0)) {
    return <Message {...{ width, height }}>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</Message>;
  }
  return <Body {...props} options={panel.options ?? {}} {...panel.prepared} />;
}

function Message({ width, height, children }) {
  const { colors } = useTheme2();
  return (
    <div style={{ width, height, display: 'grid', placeContent: 'center', color: colors.text.secondary }}>{children}</div>
  );
}

function Text({ options }) {
  const html = options.mode === 'html' ? options.content : renderTextPanelMarkdown(options.content ?? '');
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}

function Series({ options, frames, width, height, range, annotations, timeZone }) {
  const legend = { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [], ...options.legend };
  return (
    <TimeSeries {...{ frames, width, height, legend, timeZone, options }} timeRange={timeRange(range)} structureRev={1}>
      {(config) => <Annotations config={config} regions={annotations} />}
    </TimeSeries>
  );
}

/** Paints annotations as Grafana does: a dashed line at each end, and a light area between. */
function Annotations({ config, regions }) {
  const theme = useTheme2();
  useLayoutEffect(() => {
    config.addHook('draw', ({ ctx, bbox, valToPos }) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      for (const { from, to, color } of regions) {
        const paint = theme.visualization.getColorByName(color);
        const [left, right] = [from, to].map((time) => Math.round(valToPos(time, 'x', true)));
        ctx.globalAlpha = 0.1;
        ctx.fillStyle = paint;
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        ctx.globalAlpha = 1;
        ctx.strokeStyle = paint;
        ctx.lineWidth = devicePixelRatio;
        ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio]);
        for (const x of new Set([left, right])) {
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
      }
      ctx.restore();
    });
  }, [config, regions, theme]);
  return null;
}

const REDUCE_DEFAULTS = { calcs: ['lastNotNull'], values: false };

function reduced({ options, frames, fieldConfig, timeZone }, theme, more = {}) {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig,
    reduceOptions: { ...REDUCE_DEFAULTS, ...options.reduceOptions },
    replaceVariables: (text) => text,
    theme,
    timeZone,
    ...more,
  });
}

function Stat(props) {
  const theme = useTheme2();
  const { options, width, height, frames, range } = props;
  const { graphMode = 'area', colorMode = 'value', justifyMode = 'auto', textMode = 'auto', orientation = VizOrientation.Auto } = options;
  const getValues = () => reduced(props, theme, { sparkline: graphMode !== 'none', percentChange: options.showPercentChange });
  return (
    <VizRepeater
      {...{ getValues, width, height, orientation }}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      source={frames}
      autoGrid
      renderCounter={1}
      renderValue={({ value, alignmentFactors, count, ...size }) => (
        <BigValue
          {...{ theme, colorMode, graphMode, justifyMode, alignmentFactors, count, text: options.text, wideLayout: options.wideLayout ?? true }}
          width={size.width}
          height={size.height}
          value={value.display}
          sparkline={value.sparkline && { ...value.sparkline, timeRange: timeRange(range) }}
          textMode={textMode === 'auto' && count === 1 ? 'value' : textMode}
        />
      )}
    />
  );
}

function Bars(props) {
  const theme = useTheme2();
  const { options, width, height, frames } = props;
  const orientation = options.orientation && options.orientation !== 'auto'
    ? options.orientation
    : width > height ? VizOrientation.Vertical : VizOrientation.Horizontal;
  return (
    <VizRepeater
      {...{ width, height, orientation }}
      getValues={() => reduced(props, theme)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      source={frames}
      itemSpacing={8}
      minVizWidth={options.minVizWidth ?? 8}
      minVizHeight={options.minVizHeight ?? 16}
      maxVizHeight={options.maxVizHeight ?? 300}
      renderCounter={1}
      renderValue={({ value, alignmentFactors, ...size }) => (
        <BarGauge
          {...{ theme, alignmentFactors }}
          width={size.width}
          height={size.height}
          orientation={size.orientation}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          text={options.text}
          displayMode={options.displayMode ?? 'gradient'}
          showUnfilled={options.showUnfilled ?? true}
          valueDisplayMode={options.valueMode ?? 'color'}
          namePlacement={options.namePlacement ?? 'auto'}
          lcdCellWidth={12}
          itemSpacing={8}
        />
      )}
    />
  );
}

function Gauges(props) {
  const theme = useTheme2();
  const { width, height, frames, options } = props;
  return (
    <VizRepeater
      {...{ width, height }}
      orientation={options.orientation ?? VizOrientation.Auto}
      getValues={() => reduced(props, theme)}
      source={frames}
      autoGrid
      renderCounter={1}
      renderValue={({ value, count, ...size }) => <Gauge {...value} width={size.width} height={size.height} showName={count > 1} />}
    />
  );
}

function Table({ options, frames, width, height, range, fieldConfig }) {
  return (
    <TableNG
      data={frames[options.frameIndex ?? 0]}
      {...{ width, height, fieldConfig }}
      noHeader={options.showHeader === false}
      cellHeight={options.cellHeight ?? 'sm'}
      sortBy={options.sortBy}
      timeRange={timeRange(range)}
      enableVirtualization={false}
      structureRev={1}
    />
  );
}

function timeRange({ from, to }) {
  const [start, end] = [dateTime(from), dateTime(to)];
  return { from: start, to: end, raw: { from: start, to: end } };
}
