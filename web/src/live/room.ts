// What a client knows of a room, and what a message does to it. Pure: the connection carries the effects out.

export interface RoomState {
  /** Newest number that is here; `null` before anything was read. */
  after: number | null
  /** Life of the server that numbers belong to; rooms of runs have none. */
  epoch: string | null
  isJoined: boolean
}

export type Effect = { kind: 'apply' } | { kind: 'drop' } | { kind: 'reload' } | { kind: 'gap'; from: number; to: number } | { kind: 'apply_after_gap'; from: number; to: number }

export const newRoom = (after: number | null, epoch: string | null): RoomState => ({ after, epoch, isJoined: false })

/** The server's answer to a join. */
export function onJoined(state: RoomState, joined: { seq: number; epoch: string; reload: boolean }): [RoomState, Effect] {
  const isOtherLife = state.epoch !== null && state.epoch !== joined.epoch
  if (joined.reload || isOtherLife) return [{ after: joined.seq, epoch: state.epoch === null ? null : joined.epoch, isJoined: true }, { kind: 'reload' }]
  return [{ ...state, isJoined: true }, { kind: 'drop' }]
}

/** A numbered message. Twice the same is dropped; a number left out is a gap that must be read. */
export function onMessage(state: RoomState, seq: number, epoch: string | null): [RoomState, Effect] {
  if (state.epoch !== null && epoch !== null && state.epoch !== epoch) return [{ ...state, after: seq, epoch }, { kind: 'reload' }]
  if (state.after !== null && seq <= state.after) return [state, { kind: 'drop' }]
  const next = { ...state, after: seq }
  if (state.after !== null && seq > state.after + 1) return [next, { kind: 'apply_after_gap', from: state.after + 1, to: seq - 1 }]
  return [next, { kind: 'apply' }]
}

/** Points that the server left out for us. */
export function onGap(state: RoomState, [from, to]: [number, number]): [RoomState, Effect] {
  if (state.after !== null && to <= state.after) return [state, { kind: 'drop' }]
  return [{ ...state, after: to }, { kind: 'gap', from, to }]
}

/** The connection is gone; what was heard stays, and the next join goes on from there. */
export const onLost = (state: RoomState): RoomState => ({ ...state, isJoined: false })
