/**
 * One fact of a status that an App Connector writes into its log each minute. The forms are those that
 * the vendor's public documents show; nobody promises them, so what is not there is not known.
 */
export type StatusFact =
  | {
      readonly kind: 'connector';
      readonly id: string;
      readonly name: string;
      readonly version: string;
    }
  | { readonly kind: 'certificate'; readonly seconds: number }
  | { readonly kind: 'control'; readonly connected: boolean; readonly state: string }
  | { readonly kind: 'skew'; readonly seconds: number }
  | { readonly kind: 'flows'; readonly active: number }
  | { readonly kind: 'apps'; readonly registered: number; readonly alive: number }
  | { readonly kind: 'targets'; readonly registered: number; readonly alive: number };

/** The one state that the documents call healthy. */
export const CONNECTED = 'fohh_connection_connected';

const UNIT_SECONDS: readonly number[] = [86_400, 3600, 60, 1];

/** Seconds of days, hours, minutes and seconds, of which any may be missing. */
export function certificateSeconds(parts: readonly number[]): number {
  return UNIT_SECONDS.reduce((sum, unit, at) => sum + unit * (parts[at] || 0), 0);
}

/** Names are chosen by people, and shown to others. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
