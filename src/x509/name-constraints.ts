import { DerCursor } from '../der/reader.ts';
import { refuse } from '../der/refuse.ts';
import { contextConstructed } from '../der/tags.ts';
import { readGeneralName } from './general-name.ts';
import { isEmptyName, readName } from './name.ts';
import {
  isWithinDomain,
  isWithinName,
  type Mailbox,
  normalHost,
  normalName,
  parseMailbox,
  uriHost,
} from './name-match.ts';
import { OID } from './oids.ts';
import { isSelfIssued } from './path-checks.ts';
import type { Certificate, GeneralName } from './types.ts';

/** Most comparisons of a name with a subtree that one path may cost. */
const MAX_COMPARISONS = 16_384;

/** Attribute of a subject that holds an e-mail address (RFC 5280 §4.1.2.6). */
const EMAIL_ATTRIBUTE = '1.2.840.113549.1.9.1';

/** What a subtree says about a name: within it, outside, or of a kind that it does not speak about. */
type Verdict = 'within' | 'outside' | 'other-kind';

/** Judges one name. Stops with `refuse` where a name of its kind cannot be judged. */
type Subtree = (name: CheckedName, excluded: boolean) => Verdict;

/** A name of a certificate, in the form that it is compared in. */
type CheckedName =
  | { readonly kind: 'dns' | 'uri' | 'email'; readonly text: string }
  | { readonly kind: 'ip'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly rdns: readonly string[] }
  | { readonly kind: 'other'; readonly tag: number };

/** Name constraints of one authority. */
export interface NameConstraints {
  readonly permitted: readonly Subtree[];
  readonly excluded: readonly Subtree[];
}

function unreadable(why: string): never {
  return refuse('PATH_NAME_CONSTRAINTS_UNREADABLE', `name constraints: ${why}`);
}

function unfit(name: string): never {
  return refuse('PATH_NAME_CONSTRAINTS', `name constraints: the name ${name} cannot be judged`);
}

function verdict(within: boolean): Verdict {
  return within ? 'within' : 'outside';
}

/**
 * A DNS subtree: the domain and all below it; empty stands for every name. A wildcard stands for every
 * name that it can match: all of them must be permitted, none may be excluded.
 */
function dnsSubtree(text: string): Subtree {
  const domain = text === '' ? '' : normalHost(text);
  if (domain === undefined) unreadable(`"${text}" is not a DNS name`);
  return (name, excluded) => {
    if (name.kind !== 'dns') return 'other-kind';
    const isWildcard = name.text.startsWith('*.');
    const host = normalHost(isWildcard ? name.text.slice(2) : name.text);
    if (host === undefined) unfit(name.text);
    if (domain === '' || isWithinDomain(host, domain)) return 'within';
    return verdict(isWildcard && excluded && isWithinDomain(domain, host));
  };
}

/** A URI subtree: one host, or with a leading period every host below a domain. */
function uriSubtree(text: string): Subtree {
  const isDomain = text.startsWith('.');
  const base = normalHost(isDomain ? text.slice(1) : text);
  if (base === undefined) unreadable(`"${text}" is not a host or domain of URIs`);
  return (name) => {
    if (name.kind !== 'uri') return 'other-kind';
    const host = uriHost(name.text);
    if (host === undefined) unfit(name.text);
    return verdict(isDomain ? host.endsWith(`.${base}`) : host === base);
  };
}

function matchesMailbox(mailbox: Mailbox, base: Mailbox): boolean {
  return mailbox.local === base.local && mailbox.host === base.host;
}

/** An e-mail subtree: one mailbox, one host, or with a leading period every host below a domain. */
function emailSubtree(text: string): Subtree {
  const mailbox = text.includes('@') ? parseMailbox(text) : undefined;
  const isDomain = text.startsWith('.');
  const host = text.includes('@') ? undefined : normalHost(isDomain ? text.slice(1) : text);
  if (mailbox === undefined && host === undefined) unreadable(`"${text}" is no e-mail subtree`);
  return (name) => {
    if (name.kind !== 'email') return 'other-kind';
    const parts = parseMailbox(name.text);
    if (parts === undefined) unfit(name.text);
    if (mailbox !== undefined) return verdict(matchesMailbox(parts, mailbox));
    return verdict(isDomain ? parts.host.endsWith(`.${host}`) : parts.host === host);
  };
}

/** Whether a mask is ones followed by zeros. */
function isPrefixMask(mask: Uint8Array): boolean {
  const bits = [...mask].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits);
}

/** An IP subtree: address and mask of 4 or 16 bytes each. */
function ipSubtree(bytes: Uint8Array): Subtree {
  const half = bytes.length / 2;
  if (half !== 4 && half !== 16) unreadable(`an IP range of ${bytes.length} bytes`);
  const base = bytes.subarray(0, half);
  const mask = bytes.subarray(half);
  if (!isPrefixMask(mask)) unreadable('an IP mask with a gap');
  return (name) => {
    if (name.kind !== 'ip') return 'other-kind';
    if (name.bytes.length !== half) return 'outside';
    return verdict(
      mask.every((bits, i) => ((name.bytes[i] ?? 0) & bits) === ((base[i] ?? 0) & bits)),
    );
  };
}

function directorySubtree(der: Uint8Array): Subtree {
  const base = normalName(der);
  return (name) =>
    name.kind === 'directory' ? verdict(isWithinName(name.rdns, base)) : 'other-kind';
}

/** A kind of name that is not compared here: a name of that kind below fails (RFC 5280 §4.2.1.10). */
function unsupportedSubtree(tag: number): Subtree {
  return (name) => {
    if (name.kind === 'other' && name.tag === tag) unfit('of an unsupported kind');
    return 'other-kind';
  };
}

function subtreeOf(name: GeneralName): Subtree {
  switch (name.kind) {
    case 'dns':
      return dnsSubtree(name.text);
    case 'uri':
      return uriSubtree(name.text);
    case 'email':
      return emailSubtree(name.text);
    case 'ip':
      return ipSubtree(name.bytes);
    case 'directory':
      return directorySubtree(name.der);
    case 'other':
      return unsupportedSubtree(name.tag);
  }
}

/** GeneralSubtrees: at least one, without minimum or maximum (RFC 5280 §4.2.1.10). */
function readSubtrees(fields: DerCursor, number: number): Subtree[] {
  const tag = contextConstructed(number);
  if (fields.nextTag !== tag) return [];
  const sequence = fields.enter(tag, 'name constraints');
  const subtrees: Subtree[] = [];
  do {
    const subtree = sequence.sequence('name constraints');
    subtrees.push(subtreeOf(readGeneralName(subtree, 'name constraints')));
    subtree.finish('name constraints with minimum or maximum');
  } while (!sequence.done);
  return subtrees;
}

/** Reads the value of the extension. Stops with `refuse`. */
function readNameConstraints(value: Uint8Array): NameConstraints {
  const cursor = new DerCursor(value);
  const fields = cursor.sequence('name constraints');
  const constraints = { permitted: readSubtrees(fields, 0), excluded: readSubtrees(fields, 1) };
  fields.finish('name constraints');
  cursor.finish('name constraints');
  if (constraints.permitted.length + constraints.excluded.length === 0) unreadable('empty');
  return constraints;
}

/** E-mail addresses in a subject: constraints on e-mail speak about them too. */
function subjectEmails(subjectDer: Uint8Array): CheckedName[] {
  const attributes = readName(new DerCursor(subjectDer), 'subject').flat();
  return attributes
    .filter((attribute) => attribute.oid === EMAIL_ATTRIBUTE)
    .map(({ value }) => ({ kind: 'email', text: Buffer.from(value).toString('latin1') }));
}

/** Every name of a certificate that constraints speak about: the subject, its e-mails, the SANs. */
function namesOf(certificate: Certificate): CheckedName[] {
  const { subjectDer, subjectAltName } = certificate;
  const names: CheckedName[] = isEmptyName(subjectDer)
    ? []
    : [{ kind: 'directory', rdns: normalName(subjectDer) }, ...subjectEmails(subjectDer)];
  for (const name of subjectAltName?.names ?? []) {
    names.push(
      name.kind === 'directory' ? { kind: 'directory', rdns: normalName(name.der) } : name,
    );
  }
  return names;
}

function nameForMessage(name: CheckedName): string {
  if ('text' in name) return name.text;
  return name.kind === 'ip'
    ? `IP ${Buffer.from(name.bytes).toString('hex')}`
    : `of kind ${name.kind}`;
}

function checkName(constraints: NameConstraints, name: CheckedName): void {
  if (constraints.excluded.some((subtree) => subtree(name, true) === 'within')) {
    refuse('PATH_NAME_CONSTRAINTS', `name constraints: ${nameForMessage(name)} is excluded`);
  }
  const verdicts = constraints.permitted.map((subtree) => subtree(name, false));
  if (verdicts.includes('outside') && !verdicts.includes('within')) {
    refuse('PATH_NAME_CONSTRAINTS', `name constraints: ${nameForMessage(name)} is not permitted`);
  }
}

/**
 * Holds every name of a path against the constraints of the authorities above it (RFC 5280 §6.1.3 b, c);
 * self-issued intermediates are exempt. Each authority's permitted subtrees apply by themselves, so a
 * lower one can narrow but not widen. Stops with `refuse`: PATH_NAME_CONSTRAINTS,
 * PATH_NAME_CONSTRAINTS_UNREADABLE, PATH_TOO_COSTLY.
 *
 * @param path From the leaf to the root.
 */
export function checkNameConstraints(path: readonly Certificate[]): void {
  let comparisons = 0;
  for (const [index, authority] of path.entries()) {
    const extension = authority.extensions.find(({ oid }) => oid === OID.nameConstraints);
    if (extension === undefined) continue;
    const constraints = readNameConstraints(extension.value);
    const subtreeCount = constraints.permitted.length + constraints.excluded.length;
    const judged = path.slice(0, index).filter((below, i) => i === 0 || !isSelfIssued(below));
    for (const name of judged.flatMap(namesOf)) {
      comparisons += subtreeCount;
      if (comparisons > MAX_COMPARISONS) {
        refuse('PATH_TOO_COSTLY', `name constraints: more than ${MAX_COMPARISONS} comparisons`);
      }
      checkName(constraints, name);
    }
  }
}
