import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** One file of a descriptor set. */
export interface DescriptorFile {
  readonly name: string;
  /** The encoded FileDescriptorProto. */
  readonly bytes: Uint8Array;
  /** Names of the files that it imports. */
  readonly imports: readonly string[];
  /** Full names of the messages, enums, services and methods in it. */
  readonly symbols: readonly string[];
}

/** Fields of descriptor.proto that are read here. */
const SET_FILE = 1;
const FILE = { name: 1, package: 2, dependency: 3, message: 4, enum: 5, service: 6 };
/** `name` of messages, enums, services and methods. */
const NAME = 1;
const NESTED = { message: 3, enum: 4 };
const METHOD = 2;

/** Answers what gRPC reflection asks about a descriptor set. */
export class DescriptorIndex {
  readonly #byName = new Map<string, DescriptorFile>();
  readonly #bySymbol = new Map<string, DescriptorFile>();

  /** @param set An encoded google.protobuf.FileDescriptorSet, of our own making. */
  constructor(set: Uint8Array) {
    for (const [field, bytes] of fieldsOf(set)) {
      if (field !== SET_FILE) continue;
      const file = readFile(bytes);
      this.#byName.set(file.name, file);
      for (const symbol of file.symbols) this.#bySymbol.set(symbol, file);
    }
  }

  /** A file and all that it imports, itself first; undefined when there is none of that name. */
  file(name: string): readonly Uint8Array[] | undefined {
    return this.#withImports(this.#byName.get(name));
  }

  /** The file that holds a symbol, and all that it imports; undefined when none does. */
  fileOfSymbol(symbol: string): readonly Uint8Array[] | undefined {
    return this.#withImports(this.#bySymbol.get(symbol));
  }

  #withImports(file: DescriptorFile | undefined): readonly Uint8Array[] | undefined {
    if (file === undefined) return undefined;
    const found = new Set([file]);
    // A set visits what is added while it is walked.
    for (const { imports } of found) {
      for (const name of imports) {
        const imported = this.#byName.get(name);
        if (imported !== undefined) found.add(imported);
      }
    }
    return [...found].map(({ bytes }) => bytes);
  }
}

function readFile(bytes: Uint8Array): DescriptorFile {
  const fields = [...fieldsOf(bytes)];
  const texts = (wanted: number): string[] =>
    fields.filter(([field]) => field === wanted).map(([, value]) => textOf(value));
  const [name = ''] = texts(FILE.name);
  const [packageName = ''] = texts(FILE.package);
  const scope = packageName === '' ? '' : `${packageName}.`;
  const symbols = fields.flatMap(([field, value]) => {
    if (field === FILE.message) return messageSymbols(scope, value);
    if (field === FILE.enum) return [scope + nameOf(value)];
    return field === FILE.service ? serviceSymbols(scope, value) : [];
  });
  return { name, bytes, imports: texts(FILE.dependency), symbols };
}

function messageSymbols(scope: string, bytes: Uint8Array): string[] {
  const name = scope + nameOf(bytes);
  const nested = [...fieldsOf(bytes)].flatMap(([field, value]) => {
    if (field === NESTED.message) return messageSymbols(`${name}.`, value);
    return field === NESTED.enum ? [`${name}.${nameOf(value)}`] : [];
  });
  return [name, ...nested];
}

function serviceSymbols(scope: string, bytes: Uint8Array): string[] {
  const name = scope + nameOf(bytes);
  const methods = [...fieldsOf(bytes)].filter(([field]) => field === METHOD);
  return [name, ...methods.map(([, value]) => `${name}.${nameOf(value)}`)];
}

function nameOf(bytes: Uint8Array): string {
  for (const [field, value] of fieldsOf(bytes)) if (field === NAME) return textOf(value);
  return '';
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

/** The length-delimited fields of a message; others are passed over. */
function* fieldsOf(bytes: Uint8Array): Generator<[number, Uint8Array]> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) yield [field, reader.bytes()];
    else reader.skip(type, field);
  }
}
