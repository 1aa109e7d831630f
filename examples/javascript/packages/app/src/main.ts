import createDebug from "debug";
import { label } from "@example/label";

const debug = createDebug("app");

for (const name of ["door", "transom"]) {
  debug("labelling %s", name);
  console.log(label(name));
}
