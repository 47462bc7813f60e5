/** The functions of Go's text/template; spire-controller-manager adds none. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set(
  'and call eq ge gt html index js le len lt ne not or print printf println slice urlquery'.split(
    ' ',
  ),
);
