// Processors and accelerators, and how busy they are now.
import type { SystemPage, SystemSample } from '@/api/types'
import { Tag } from '@/components/bits'
import { Icon } from '@/components/icon'
import { bytes, percent, significant } from '@/lib/format'
import { Part } from './part'

export function Devices({ system, sample }: { system: SystemPage; sample: SystemSample }) {
  const cores = sample.cores_percent ?? []
  return (
    <Part id="devices" title="Devices">
      <ul className="mb-4 flex flex-col gap-3">
        {system.devices.map((device) => (
          <li key={`${device.kind} ${device.name}`} className="flex flex-wrap items-center gap-2">
            <Icon name={device.is_usable ? 'check' : 'info'} className={device.is_usable ? 'text-good' : 'text-quiet'} />
            <span className="font-medium">{device.name}</span>
            {device.details.map((detail) => (
              <Tag key={detail}>{detail}</Tag>
            ))}
            {device.reason && <span className="text-quiet">{device.reason}</span>}
          </li>
        ))}
      </ul>
      <dl className="grid max-w-3xl gap-x-8 gap-y-4 sm:grid-cols-2">
        <Meter
          label="Processor"
          share={(sample.cpu_percent ?? 0) / 100}
          text={percent((sample.cpu_percent ?? 0) / 100)}
          note={cores.length > 1 ? `cores ${cores.map((core) => percent(core / 100)).join(', ')}` : ''}
        />
        <Meter
          label="Memory"
          share={(sample.memory_used_bytes ?? 0) / (sample.memory_total_bytes || 1)}
          text={`${bytes(sample.memory_used_bytes)} of ${bytes(sample.memory_total_bytes)}`}
          note={`this program ${bytes(sample.process_bytes)}`}
        />
        {sample.gpus?.map((gpu, index) => (
          <Meter
            key={index}
            label={gpu.name || `GPU ${index}`}
            share={(gpu.used_percent ?? 0) / 100}
            text={percent((gpu.used_percent ?? 0) / 100)}
            note={`${bytes(gpu.memory_used_bytes)} of ${bytes(gpu.memory_total_bytes)}, ${significant(gpu.temperature_c, 2)} °C, ${significant(gpu.watts, 3)} W`}
          />
        ))}
        {typeof sample.watts === 'number' && (
          <div>
            <dt className="text-quiet">Power</dt>
            <dd className="tabular">{significant(sample.watts, 3)} W</dd>
          </div>
        )}
      </dl>
    </Part>
  )
}

function Meter({ label, share, text, note }: { label: string; share: number; text: string; note: string }) {
  return (
    <div>
      <dt className="flex justify-between text-quiet">
        {label}
        <span className="tabular text-ink">{text}</span>
      </dt>
      <dd>
        <div className="my-1.5 h-1 overflow-hidden rounded-full bg-pressed">
          <div data-fill className="h-full rounded-full bg-accent" style={{ width: `${Math.min(100, share * 100)}%` }} />
        </div>
        <span className="tabular text-small text-quiet">{note}</span>
      </dd>
    </div>
  )
}
