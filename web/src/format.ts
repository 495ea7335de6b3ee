// Times and values as people read them; durations as the terminal writes them (crates/model/src/units.rs).
import type { Moment, Value } from './api';

export function duration(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  const seconds = Math.floor(ns / 1e9);
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
  if (seconds >= 600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  const units: [number, string][] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs']];
  const [size, unit] = units.find(([size]) => ns / size >= 0.9995) ?? [1e3, 'µs'];
  const value = ns / size;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${unit}`;
}

export function percent(part: number, whole: number): string {
  const share = whole > 0 ? (part / whole) * 100 : 0;
  return share > 0 && share < 1 ? '< 1 %' : `${share.toFixed(0)} %`;
}

function date(unixNano: Moment): Date {
  return new Date(Number(unixNano) / 1e6);
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `16:00:07` */
export const clock = (time: Date): string => `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;

/** The same, with the day in front when it is not today. */
export function moment(unixNano: Moment): string {
  const time = date(unixNano);
  const today = new Date().toDateString() === time.toDateString();
  return today ? clock(time) : `${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(time)}`;
}

export function momentInFull(unixNano: Moment): string {
  const time = date(unixNano);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(time)}.${String(time.getMilliseconds()).padStart(3, '0')}`;
}

/** ns from one moment to another. Both may be text: they are too large for numbers. */
export function between(from: Moment, to: Moment): number {
  return Number(BigInt(to) - BigInt(from));
}

export function text(value: Value): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** `12,000`; the browser's own way takes 20 ms when it is first asked. */
export function grouped(number: number): string {
  return String(Math.round(number * 1000) / 1000).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** `1 trace`, `12,000 traces`. */
export function plural(count: number, one: string, several = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : several}`;
}

/** Requests in a time, as a rate with two digits. */
export function rate(count: number, ms: number): string {
  const perSecond = (count / Math.max(1, ms)) * 1000;
  if (perSecond >= 0.95) return `${perSecond.toPrecision(perSecond < 10 ? 2 : 3).replace(/\.0$/, '')} / s`;
  const perMinute = perSecond * 60;
  return `${perMinute.toPrecision(2).replace(/\.0$/, '')} / min`;
}
