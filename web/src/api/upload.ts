// A file streamed to the server, with its progress; XMLHttpRequest because fetch tells none.
import { address, ApiFailure } from './client'
import type { DataCard, ErrorBody } from './types'

export function uploadData(file: File, onProgress: (share: number) => void): Promise<DataCard> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', address('data', { name: file.name }))
    request.setRequestHeader('content-type', 'application/octet-stream')
    request.responseType = 'json'
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total)
    request.onerror = () => reject(new ApiFailure('away', 0, 'The upload broke off.', 'See whether the server still runs, then drop the file again.'))
    request.onload = () => {
      const body = request.response as unknown
      if (request.status < 400) return resolve(body as DataCard)
      const { code, message, hint, details, request_id } = (body ?? { code: 'internal', message: 'The upload was refused.', hint: '' }) as ErrorBody
      reject(new ApiFailure(code, request.status, message, hint, details, request_id))
    }
    request.send(file)
  })
}
