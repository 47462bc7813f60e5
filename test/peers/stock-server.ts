/** A stock SPIRE server on loopback, as its configuration has it. */
export interface StockServer {
  /** Holds its data. */
  readonly dir: string;
  readonly port: number;
  readonly socket: string;
  readonly trustDomain: string;
  /** Lines of its `server` section beside those that all have. */
  readonly server?: string;
  /** Plugins beside its store and its keys. */
  readonly plugins: string;
}

/** The text of a stock SPIRE server's configuration. */
export function stockServerConfig(of: StockServer): string {
  const { dir, port, socket, trustDomain, server = '', plugins } = of;
  return `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${socket}"
  trust_domain = "${trustDomain}"
  data_dir = "${dir}"
  log_level = "DEBUG"
  ${server}
}
plugins {
  DataStore "sql" {
    plugin_data { database_type = "sqlite3" connection_string = "${dir}/data.sqlite3" }
  }
  KeyManager "memory" { plugin_data {} }
  ${plugins}
}
`;
}
