import '@fontsource/inter/latin-400.css';
import '@fontsource/inter/latin-500.css';
import '@fontsource/inter/latin-600.css';
import '@fontsource/roboto-mono/latin-400.css';
import 'uplot/dist/uPlot.min.css';

import { createTheme, standardTransformers, standardTransformersRegistry } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, ThemeContext } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { Dashboard } from './Dashboard.jsx';
import { prepareFrames } from './fields.js';

/** Pictures are compared by people in different places. */
const TIME_ZONE = 'utc';

standardTransformersRegistry.setInit(() =>
  // The list has one transformation under two names.
  [...new Map(Object.values(standardTransformers).map((each) => [each.id, each])).values()].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    editor: () => null,
  })));

/** Draws the model that `lib/dashboard.mjs` collected; resolves when everything but the icons is there. */
window.drawDashboard = async (model) => {
  // A plot measures its labels on a canvas, which does not wait for fonts.
  await Promise.all(['400', '500', '600'].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  await document.fonts.load('400 12px "Roboto Mono"');
  await initPluginTranslations('preview', []);

  const theme = createTheme({ colors: { mode: model.theme } });
  const panels = await Promise.all(model.panels.map(async (panel) => ({
    ...panel,
    prepared: panel.type === 'row' ? null : await prepareFrames(panel, theme, TIME_ZONE),
  })));
  const root = document.body.appendChild(document.createElement('div'));
  flushSync(() => createRoot(root).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard {...model} panels={panels} timeZone={TIME_ZONE} />
    </ThemeContext.Provider>,
  ));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
};
