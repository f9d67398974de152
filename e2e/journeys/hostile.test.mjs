// A page of somebody else in the same browser: whatever it tries, the studio neither changes nor tells it anything.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { launch } from '../support/browser.mjs'
import { ended, short } from '../support/runs.mjs'
import { Studio } from '../support/studio.mjs'

/** What the page of somebody else tries; each answers what it learned, or `null`. */
async function attack({ target, id }) {
  const heard = {}
  const note = async (name, work) => {
    heard[name] = await Promise.race([work().catch(() => null), new Promise((done) => setTimeout(() => done(null), 4000))])
  }
  const json = { 'content-type': 'application/json' }
  const api = `${target}/api/v1`
  await note('reads', async () => (await fetch(`${api}/runs`)).text())
  await note('reads without rules', async () => {
    const { type, status } = await fetch(`${api}/runs`, { mode: 'no-cors' })
    return type === 'opaque' && status === 0 ? null : status
  })
  await note('writes', async () => (await fetch(`${api}/runs/${id}`, { method: 'DELETE', headers: json, body: '{}' })).status)
  await note('writes plainly', async () => {
    await fetch(`${api}/runs/${id}/resume`, { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body: '{}' })
    return null
  })
  await note('socket', () => new Promise((done, fail) => {
    const socket = new WebSocket(`${target.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`)
    socket.onmessage = ({ data }) => done(data)
    socket.onerror = () => fail(new Error('refused'))
  }))
  await note('polling', async () => (await fetch(`${target}/socket.io/?EIO=4&transport=polling`)).text())
  await note('form', () => new Promise((done) => {
    const frame = Object.assign(document.createElement('iframe'), { name: 'sink' })
    const form = Object.assign(document.createElement('form'), { action: `${api}/runs/${id}/resume`, method: 'post', target: 'sink', enctype: 'text/plain' })
    document.body.append(frame, form)
    frame.onload = () => done(null)
    form.submit()
  }))
  await note('frame', () => new Promise((done) => {
    const frame = Object.assign(document.createElement('iframe'), { src: target })
    frame.onload = () => {
      try {
        done(frame.contentDocument?.title || null)
      } catch {
        done(null)
      }
    }
    document.body.append(frame)
  }))
  await note('script', () => new Promise((done) => {
    const script = Object.assign(document.createElement('script'), { src: `${api}/home` })
    script.onload = () => done('loaded')
    script.onerror = () => done(null)
    document.body.append(script)
  }))
  return heard
}

test('a page of somebody else', async (t) => {
  const studio = await Studio.open(t)
  const id = await short(studio, 'not theirs')
  await ended(studio, id)
  const before = await studio.get(`runs/${id}`)
  const theirs = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>theirs</title><body></body>'))
  await new Promise((done) => theirs.listen(0, '127.0.0.1', done))
  t.after(() => theirs.close())
  const { port } = theirs.address()
  // A name of theirs that leads to this computer, as one of a name server of theirs would.
  const browser = await launch(t, ['--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP theirs.example 127.0.0.1'])

  for (const [from, target] of [
    [`http://127.0.0.1:${port}`, studio.url],
    [`http://localhost:${port}`, studio.url],
    [`http://theirs.example:${port}`, studio.url],
    [`http://theirs.example:${port}`, `http://rebound.example:${studio.port}`],
  ]) {
    await t.test(`from ${from} to ${target}`, async () => {
      const page = await (await browser.newContext()).newPage()
      await page.goto(from)
      const heard = await page.evaluate(attack, { target, id })
      for (const [name, learned] of Object.entries(heard)) assert.equal(learned, null, `${name} learned something`)
      await page.context().close()
    })
  }
  await t.test('under a name that only leads here', async () => {
    const page = await (await browser.newContext()).newPage()
    const response = await page.goto(`http://rebound.example:${studio.port}/api/v1/runs`)
    assert.equal(response.status(), 403)
    assert.doesNotMatch(await response.text(), /not theirs/)
  })
  await t.test('our own page does learn: the attack is one', async () => {
    const page = await (await browser.newContext()).newPage()
    await page.goto(`${studio.url}/favicon.svg`)
    const heard = await page.evaluate(async () => [await (await fetch('/api/v1/runs')).text(), await (await fetch('/socket.io/?EIO=4&transport=polling')).text()])
    assert.match(heard[0], /not theirs/)
    assert.match(heard[1], /sid/)
  })
  const after = await studio.get(`runs/${id}`)
  assert.deepEqual([after.row.state, after.seq, after.etag], [before.row.state, before.seq, before.etag], 'nothing changed')
})
