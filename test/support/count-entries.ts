import { credentials } from '@grpc/grpc-js';
import { EntryClient } from '../../src/gen/spire/api/server/entry/v1/entry.ts';

/** Asks a server for its number of entries over the socket given, as whoever runs this. */
const client = new EntryClient(`unix:${process.argv[2]}`, credentials.createInsecure());
client.countEntries({ filter: undefined }, (error, answer) => {
  process.stdout.write(error === null ? `count ${answer.count}` : error.message);
  client.close();
});
