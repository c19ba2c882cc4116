// Checks in this browser, with nothing but its own cryptography, that an entry of the audit log is what was committed to when it was written, and that the log has it under a
// signed checkpoint (C2SP tlog-proof, tlog-checkpoint, signed-note, tlog-cosignature; RFC 6962). The page works without it: then the same can be downloaded and checked elsewhere.
(() => {
  const place = document.querySelector("[data-proof]");
  if (!place) return;

  const text = new TextEncoder();
  const bytes = base64 => {
    const binary = atob(base64);
    const read = Uint8Array.from(binary, c => c.charCodeAt(0));
    // Only one way to write it: nothing may be hidden in the bits that are left over.
    if (btoa(binary) !== base64) throw new Failure("form");
    return read;
  };
  const join = (...parts) => {
    const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) { joined.set(part, at); at += part.length; }
    return joined;
  };
  const hash = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
  const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

  class Failure extends Error {
    constructor(step) { super(step); this.step = step; }
  }
  const require = (holds, step) => { if (!holds) throw new Failure(step); };

  // The entry: salt, the length of the subject (with a mark where something is withheld), the subject, the hash of what is withheld, and the record.
  const commitmentOf = bundle => {
    const subject = bytes(bundle.subject), withheld = bundle.withheld ? bytes(bundle.withheld) : new Uint8Array();
    const salt = bytes(bundle.salt);
    // Of one length, or a byte of one part could pass for one of the next.
    require(salt.length === 32 && subject.length < 128 && (withheld.length === 0 || withheld.length === 32), "form");
    return hash(salt, Uint8Array.of(subject.length | (withheld.length ? 128 : 0)), subject, withheld, bytes(bundle.record));
  };

  const readProof = proof => {
    const split = proof.indexOf("\n\n");
    require(split > 0, "form");
    const [version, extra, index, ...path] = proof.slice(0, split).split("\n");
    require(version === "c2sp.org/tlog-proof@v1" && extra.startsWith("extra ") && /^index (0|[1-9][0-9]{0,14})$/.test(index), "form");
    return { leaf: bytes(extra.slice(6)), index: Number(index.slice(6)), path: path.map(bytes), checkpoint: proof.slice(split + 2) };
  };

  // RFC 6962 §2.1.1. Not with shifts: they stop at 32 bits.
  const rootOf = async (leaf, index, size, path) => {
    let node = await hash(Uint8Array.of(0), leaf), at = 0;
    for (let last = size - 1; last > 0; index = Math.floor(index / 2), last = Math.floor(last / 2)) {
      if (index === last && index % 2 === 0) continue;
      require(at < path.length, "path");
      const sibling = path[at++];
      node = await (index % 2 === 0 ? hash(Uint8Array.of(1), node, sibling) : hash(Uint8Array.of(1), sibling, node));
    }
    require(at === path.length, "path");
    return node;
  };

  const readNote = note => {
    const split = note.lastIndexOf("\n\n");
    require(split > 0 && note.endsWith("\n"), "form");
    const body = note.slice(0, split + 1), [origin, size, root, ...rest] = body.split("\n");
    require(rest.length > 0 && /^[1-9][0-9]{0,14}$/.test(size), "form");
    const signatures = note.slice(split + 2, -1).split("\n").map(line => {
      const parts = line.startsWith("\u2014 ") ? line.slice(2).split(" ") : [];
      require(parts.length === 2, "form");
      const blob = bytes(parts[1]);
      require(blob.length > 4, "form");
      return { name: parts[0], id: blob.slice(0, 4), signature: blob.slice(4) };
    });
    return { body, origin, size: Number(size), root: bytes(root), signatures };
  };

  // name+id+base64 of a type byte and the key; a name has no plus sign, base64 may. Null: a key of another kind than Ed25519 (1) and its cosignatures (4).
  const readKey = async vkey => {
    const [name, id, ...rest] = vkey.split("+"), blob = bytes(rest.join("+")), type = blob[0], key = blob.slice(1);
    if ((type !== 1 && type !== 4) || key.length !== 32) return null;
    const expected = (await hash(text.encode(name + "\n"), Uint8Array.of(type), key)).slice(0, 4);
    require([...expected].map(b => b.toString(16).padStart(2, "0")).join("") === id, "form");
    return { name, id: expected, type, key };
  };

  // Null: this browser cannot check Ed25519.
  const isSigned = async (key, signature, message) => {
    let imported;
    try {
      imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    } catch (e) {
      if (e.name === "NotSupportedError" || e instanceof TypeError) return null;
      throw e;
    }
    return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
  };

  const checkSignature = async (note, vkey) => {
    const key = await readKey(vkey);
    require(key && key.type === 1 && note.origin === key.name, "signature");
    const line = note.signatures.find(one => one.name === key.name && same(one.id, key.id));
    require(line, "signature");
    const holds = await isSigned(key.key, line.signature, text.encode(note.body));
    require(holds !== false, "signature");
    return holds !== null;
  };

  // A witness signs when it saw the checkpoint, and the checkpoint. Gives the keys of those that have; one of another kind than this can check is passed over.
  const witnessesOf = async (note, vkeys) => {
    const found = [];
    for (const vkey of vkeys) {
      const key = await readKey(vkey), line = key?.type === 4 && note.signatures.find(one => one.name === key.name && same(one.id, key.id));
      if (!line) continue;
      require(line.signature.length === 72, "witness");
      const time = new DataView(line.signature.buffer, line.signature.byteOffset, 8).getBigUint64(0);
      const holds = await isSigned(key.key, line.signature.slice(8), text.encode(`cosignature/v1\ntime ${time}\n${note.body}`));
      require(holds !== false, "witness");
      if (holds) found.push(`${key.name}: ${vkey}`);
    }
    return found;
  };

  const show = (result, step) => {
    place.dataset.proof = result;
    if (step) place.dataset.step = step;
    for (const one of place.querySelectorAll("[data-result]")) one.hidden = !one.dataset.result.split(" ").some(when => when === result || when === `${result}-${step}`);
  };

  const tell = (name, value) => {
    for (const one of place.querySelectorAll(`[data-told="${name}"]`)) one.textContent = value;
  };

  const check = async () => {
    const answer = await fetch(place.dataset.bundle, { credentials: "same-origin", headers: { Accept: "application/json" }, redirect: "error" });
    if (!answer.ok) { show("unavailable"); return; }
    const bundle = await answer.json(), proof = readProof(bundle.proof);
    require(proof.leaf.length === 64 && String(proof.index) === place.dataset.entry, "form");
    require(same(await commitmentOf(bundle), proof.leaf.slice(0, 32)), "entry");
    const note = readNote(proof.checkpoint);
    require(proof.index < note.size, "path");
    require(same(await rootOf(proof.leaf, proof.index, note.size, proof.path), note.root), "path");
    const isChecked = await checkSignature(note, bundle.log);
    const witnesses = await witnessesOf(note, bundle.witnesses ?? []);
    // What is told of the entry is read from the bytes that were checked.
    const record = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes(bundle.record)));
    tell("when", new Date(record.recorded).toLocaleString(document.documentElement.lang, { timeZone: "Europe/Helsinki" }));
    tell("who", record.organisation.name);
    tell("items", String(record.items?.length ?? 0));
    tell("size", note.size.toLocaleString(document.documentElement.lang));
    tell("witnesses", String(witnesses.length));
    tell("witness-keys", witnesses.join("\n") || "–");
    tell("key", bundle.log);
    // Who keeps the log could show each person another one, if nobody outside has signed.
    show(!isChecked ? "unsigned" : witnesses.length === 0 ? "unwitnessed" : "proven");
  };

  show("checking");
  check().catch(e => e instanceof Failure ? show("failed", e.step) : e.name === "InvalidCharacterError" || e instanceof SyntaxError ? show("failed", "form") : show("unavailable"));
})();
