import { loudLabel } from "@example/label/loud";

console.log(loudLabel("transom"));
