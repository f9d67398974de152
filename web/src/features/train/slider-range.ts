// Where a slider ends: the catalogue's limits say what is allowed (up to 65,536), people move within what is usual.
// Values beyond it can still be typed.
import type { CatalogueField } from '@/api/types'

const USUAL: Record<string, [min: number, max: number]> = {
  epochs: [0.5, 20],
  learning_rate: [1e-6, 1e-2],
  batch_size: [1, 128],
  max_length: [64, 8192],
  patience: [0, 10],
  'lora.rank': [1, 256],
  'lora.alpha': [1, 512],
  'model.layers': [1, 48],
  'model.heads': [1, 32],
  'model.width': [64, 2048],
  'model.context': [64, 4096],
  weight_decay: [0, 0.3],
  max_grad_norm: [0, 5],
  eval_fraction: [0, 0.5],
  freeze_layers: [1, 24],
  vocab_size: [256, 65_536],
  sample_tokens: [0, 512],
  keep_checkpoints: [1, 20],
  neftune_alpha: [0, 20],
}

const BY_FACTORS = new Set(['learning_rate', 'batch_size', 'max_length', 'lora.rank', 'lora.alpha', 'model.width', 'model.context', 'vocab_size'])

export interface SliderRange {
  min: number
  max: number
  isLogarithmic: boolean
}

export function sliderRange(field: CatalogueField): SliderRange | null {
  const usual = USUAL[field.name]
  const min = usual?.[0] ?? field.min ?? 0
  const max = usual?.[1] ?? field.max ?? null
  const isShare = max !== null && max <= 1
  if (max === null || (!usual && !isShare)) return null
  return { min, max, isLogarithmic: min > 0 && (field.is_logarithmic || BY_FACTORS.has(field.name)) }
}
