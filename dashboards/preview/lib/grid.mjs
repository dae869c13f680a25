/** Grafana's dashboard grid. Heights and gaps are in CSS pixels. */
export const GRID = { columns: 24, rowHeight: 30, gap: 8 };
