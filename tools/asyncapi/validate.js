// Validate an AsyncAPI document: `node validate.js FILE`. Prints what is wrong; ends with 1 then.
// Modules are found in the working directory.
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(`${process.cwd()}/`);
const { Parser, fromFile } = require("@asyncapi/parser");
const { AvroSchemaParser } = require("@asyncapi/avro-schema-parser");

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await fromFile(parser, process.argv[2]).parse();
const errors = diagnostics.filter((each) => each.severity === 0);
for (const each of diagnostics) {
  console.error(`${each.severity === 0 ? "error" : "note"} ${each.path.join(".")}: ${each.message}`);
}
if (document && errors.length === 0) {
  console.log(`${document.channels().length} channels, ${document.operations().length} operations, ` +
    `${document.messages().length} messages, AsyncAPI ${document.version()}`);
}
process.exit(errors.length === 0 && document ? 0 : 1);
