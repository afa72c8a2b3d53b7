/** Writes to a registry's store until it is killed, and says what it has written: registry-writer.mjs PLACE PREFIX. */
import { openDatabase } from "../../../dist/src/control/registry/store/open.js";
import { Store } from "../../../dist/src/control/registry/store/store.js";

const [place, prefix] = process.argv.slice(2);
const store = new Store(await openDatabase(JSON.parse(place), () => undefined));
for (let n = 1; ; n++) {
  const name = `${prefix}-${n}`;
  await store.write({ actor: "writer", action: "test" }, async (write) => {
    const [user] = await write.rows(
      "insert into users (name, key, role) values ($1, $1, 'farmer') returning id",
      [name],
    );
    await write.rows("insert into farms (name, owner) values ($1, $2)", [name, user.id]);
    write.change({ kind: "user", subject: name, owner: user.id });
  });
  process.stdout.write(`wrote ${name}\n`);
}
