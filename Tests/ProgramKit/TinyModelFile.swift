internal import Glibc
internal import TestKit

/// The model of `TinyModel` as a file that `lmserve` loads in milliseconds, with a context long enough for an answer
/// that does not end by itself while a test lasts. Removed with this object.
package final class TinyModelFile: Sendable {
    /// Tokens of prompt and answer together, unless it is said otherwise.
    package static let contextLength: UInt32 = 1 << 20
    /// Where it is.
    package let path: String

    /// Writes the file; equal seeds give equal models.
    package init(seed: UInt64 = 1, contextLength: UInt32 = TinyModelFile.contextLength) throws {
        var writer = TinyModel.writer(seed: seed)
        writer.setKey("llama.context_length", .uint32(contextLength))
        var template = Array("/tmp/lmcall-tiny-XXXXXX.gguf".utf8CString)
        let descriptor = mkstemps(&template, 5)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let bytes = writer.bytes()
        guard descriptor >= 0, write(descriptor, bytes, bytes.count) == bytes.count, close(descriptor) == 0 else {
            throw ChildProcess.Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit { unlink(path) }
}
