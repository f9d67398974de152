// One socket for the page. Rooms are counted: joined with the first listener, left with the last, joined again
// from where they were when the connection comes back.
import type { Gap, Joined } from '@/api/types'
import { newRoom, onGap, onJoined, onLost, onMessage, type Effect, type RoomState } from './room'

/** What of socket.io is used; the mock has the same shape. */
export interface Transport {
  emit(event: string, body: unknown): void
  on(event: string, listen: (body: never) => void): void
}

export interface Listener {
  onMessage: (body: unknown) => void
  /** Read REST again. */
  onReload: () => void
  /** Points between these numbers are missing; read them thinned. */
  onGap?: (from: number, to: number) => void
}

interface Room {
  state: RoomState
  listeners: Set<Listener>
  asking?: ReturnType<typeof setTimeout>
}

type Numbered = { room?: string; seq?: number; epoch?: string; event?: { seq: number } }

/** A join that is not answered by then is asked again. */
const ANSWER_MS = 3_000

const ROOM_OF: Record<string, string> = { run: 'runs', sample: 'system', job: 'jobs' }

export class Connection {
  private readonly rooms = new Map<string, Room>()
  private transport: Transport | null = null
  private opening: Promise<Transport> | null = null
  private isUp = false
  private readonly watchers = new Set<() => void>()

  constructor(private readonly open: () => Promise<Transport>) {}

  isConnected = (): boolean => this.isUp

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  /** Hears a room from `after` on. Returns how to leave. */
  join(name: string, after: number | null, epoch: string | null, listener: Listener): () => void {
    let room = this.rooms.get(name)
    if (!room) {
      room = { state: newRoom(after, epoch), listeners: new Set() }
      this.rooms.set(name, room)
    }
    room.listeners.add(listener)
    void this.connect()
    if (this.isUp && room.listeners.size === 1) this.ask(name, room)
    return () => {
      room.listeners.delete(listener)
      if (room.listeners.size > 0) return
      this.rooms.delete(name)
      if (this.isUp) this.transport?.emit('leave', name)
    }
  }

  private async connect(): Promise<void> {
    this.opening ??= this.open()
    const transport = await this.opening
    if (this.transport) return
    this.transport = transport
    transport.on('connect', () => this.up())
    transport.on('disconnect', () => this.down())
    transport.on('joined', (body: Joined) => this.step(body.room, (state) => onJoined(state, body), body))
    transport.on('gap', (body: Gap) => this.step(body.room, (state) => onGap(state, body.gap as [number, number]), body))
    transport.on('event', (body: Numbered) => this.step(body.room ?? '', (state) => onMessage(state, body.event?.seq ?? 0, null), body))
    for (const [event, room] of Object.entries(ROOM_OF)) {
      transport.on(event, (body: Numbered) => this.step(room, (state) => onMessage(state, body.seq ?? 0, body.epoch ?? null), body))
    }
  }

  private up(): void {
    this.isUp = true
    for (const [name, room] of this.rooms) this.ask(name, room)
    this.tell()
  }

  private down(): void {
    this.isUp = false
    for (const room of this.rooms.values()) room.state = onLost(room.state)
    this.tell()
  }

  private tell(): void {
    for (const watcher of this.watchers) watcher()
  }

  /** Asks to hear a room, and again while nobody answers: a wish that got lost would leave the page silent. */
  private ask(name: string, room: Room): void {
    if (!this.isUp || this.rooms.get(name) !== room) return
    this.transport?.emit('join', { room: name, after: room.state.after, epoch: room.state.epoch })
    clearTimeout(room.asking)
    room.asking = setTimeout(() => {
      if (!room.state.isJoined) this.ask(name, room)
    }, ANSWER_MS)
  }

  private step(name: string, change: (state: RoomState) => [RoomState, Effect], body: unknown): void {
    const room = this.rooms.get(name)
    if (!room) return
    const [state, effect] = change(room.state)
    room.state = state
    for (const listener of [...room.listeners]) carryOut(listener, effect, body)
  }
}

function carryOut(listener: Listener, effect: Effect, body: unknown): void {
  switch (effect.kind) {
    case 'apply':
      return listener.onMessage(body)
    case 'reload':
      return listener.onReload()
    case 'gap':
      return listener.onGap ? listener.onGap(effect.from, effect.to) : listener.onReload()
    case 'apply_after_gap':
      if (listener.onGap) listener.onGap(effect.from, effect.to)
      else listener.onReload()
      return listener.onMessage(body)
    case 'drop':
  }
}
