export type { Bytes, Integer } from "./arguments.js";
export { BlockStorage, type BlockStorageOptions, openBlockStorage } from "./blocks.js";
export { Budget, openBudget } from "./budget.js";
export { Cell, type CellOptions, type JsonCellOptions, openCell, type RawCellOptions } from "./cell.js";
export {
  ClusterCounters,
  type ClusterCountersOptions,
  type ClusterStatus,
  openClusterCounters,
} from "./cluster-counters.js";
export type {
  Backoff,
  Consumer,
  ConsumerEvent,
  Handler,
  HandlerContext,
  ProcessOptions,
  StopOptions,
} from "./consumer.js";
export { Counters, openCounters } from "./counters.js";
export type { DeadLetter } from "./dead-letter.js";
export type { Delivery, InHand } from "./delivery.js";
export { EmmapError, type EmmapErrorCode } from "./error.js";
export { type Advice, MappedFile, open, type Whence } from "./file.js";
export {
  type CounterSeries,
  counter,
  type GaugeSeries,
  gauge,
  type HistogramSeries,
  histogram,
  type Instrument,
  type LabelValues,
  type Metric,
  type MetricOptions,
  type MetricRegistry,
  type MetricSchema,
  Metrics,
  type MetricsOptions,
  openMetrics,
} from "./metrics.js";
export type { OpenFile, Structure, Writer } from "./open-file.js";
export type { CountersOptions, OpenOptions, StructureOptions } from "./options.js";
export { EMPTY, openQueue, Queue, type QueueInfo } from "./queue.js";
export type { JsonQueueOptions, QueueOptions, RawQueueOptions } from "./queue-options.js";
export { type Hit, type Limit, openTable, Table, TableEntry, type TableOptions } from "./table.js";
export type { ViewOptions } from "./views.js";
export type { WaitOptions, WaitResult } from "./wait.js";
export type { WaitableFile } from "./waitable-file.js";
