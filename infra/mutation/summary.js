// Counts a Stryker report (mutation-testing-elements schema) by file, and lists what survived.
const { files } = JSON.parse(require('fs').readFileSync(process.argv[2], 'utf8'));
const order = ['Killed', 'Timeout', 'Survived', 'NoCoverage', 'RuntimeError', 'CompileError'];
const survivors = [];
for (const [path, { source, mutants }] of Object.entries(files).sort()) {
  const judged = mutants.filter(m => order.includes(m.status) && m.status !== 'CompileError');
  if (judged.length === 0) continue;
  const name = path.replace(/^.*KantaGateway\.Gateway\//, '');
  console.log(`${name}: ${order.map(s => [mutants.filter(m => m.status === s).length, s]).filter(([n]) => n > 0).map(([n, s]) => `${n} ${s}`).join(', ')}`);
  for (const { status, mutatorName, replacement, location: { start, end } } of judged)
    if (status === 'Survived' || status === 'NoCoverage') {
      const lines = source.split(/\r?\n/).slice(start.line - 1, end.line);
      lines[lines.length - 1] = lines.at(-1).slice(0, end.column - 1);
      lines[0] = lines[0].slice(start.column - 1);
      const short = text => (text ?? '').replace(/\s+/g, ' ').slice(0, 120);
      survivors.push(`${name}:${start.line} ${mutatorName}${status === 'NoCoverage' ? ' (no test comes there)' : ''}: ${short(lines.join(' '))}  =>  ${short(replacement)}`);
    }
}
if (survivors.length > 0) console.log(`survived:\n${survivors.join('\n')}`);
