// Reads a repository with readers that know nothing of Arqon: tuf-js walks the
// TUF metadata to every channel's manifest, @sigstore/verify checks each bundle
// with the key of a role.
//
//   node read.mjs REPOSITORY ROOT KEYS TARGET…
//
// KEYS is a folder of PEM public keys. A bundle whose key is not among them,
// and anything that a reader refuses, ends the program with exit code 1.
import { createHash, createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleFromJSON } from '@sigstore/bundle'
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify'
import { Updater } from 'tuf-js'

const [repository, root, keyFolder, ...targets] = process.argv.slice(2)

function files (folder) {
  return readdirSync(folder, { recursive: true }).map(n => join(folder, n)).filter(n => statSync(n).isFile())
}

// tuf-js speaks HTTP; the repository is served as it lies there.
const server = createServer((request, answer) => {
  try {
    answer.end(readFileSync(join(repository, decodeURIComponent(request.url))))
  } catch {
    answer.writeHead(404).end()
  }
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const base = `http://127.0.0.1:${server.address().port}`
const metadataDir = mkdtempSync(join(tmpdir(), 'arqon-interop-'))
try {
  writeFileSync(join(metadataDir, 'root.json'), readFileSync(root))
  const updater = new Updater({
    metadataDir, targetDir: metadataDir, metadataBaseUrl: `${base}/metadata`, targetBaseUrl: `${base}/targets`
  })
  await updater.refresh()
  for (const target of targets) {
    const info = await updater.getTargetInfo(target)
    if (!info) throw new Error(`tuf-js does not find ${target}`)
    const bytes = readFileSync(await updater.downloadTarget(info))
    console.log(`tuf ${target} ${createHash('sha256').update(bytes).digest('hex')}`)
  }
} finally {
  server.close()
  server.closeAllConnections()
  rmSync(metadataDir, { recursive: true })
}

const keys = new Map(files(keyFolder).map(name => {
  const publicKey = createPublicKey(readFileSync(name))
  const hint = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64')
  return [hint, { publicKey, validFor: () => true }]
}))
const trust = toTrustMaterial({ certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] }, hint => {
  if (!keys.has(hint)) throw new Error(`no key ${hint}`)
  return keys.get(hint)
})
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 })
for (const name of [...files(join(repository, 'evidence')), ...files(join(repository, 'approvals'))].sort()) {
  const bundle = bundleFromJSON(JSON.parse(readFileSync(name, 'utf8')))
  verifier.verify(toSignedEntity(bundle))
  console.log(`bundle ${JSON.parse(bundle.content.dsseEnvelope.payload.toString()).predicateType} ${name.slice(repository.length + 1)}`)
}
