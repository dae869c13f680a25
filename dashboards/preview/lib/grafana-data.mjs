// Grafana publishes @grafana/data for bundlers. Node can only load its CommonJS half.
import { createRequire } from 'node:module';

export const { dateMath, dateTime, rangeUtil } = createRequire(import.meta.url)('@grafana/data');
