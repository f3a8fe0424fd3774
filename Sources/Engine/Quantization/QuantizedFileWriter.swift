internal import Glibc

/// Writes a file of quantized matrices under another name and gives it its own when it is whole. Checksums, not
/// `fsync`, are what a reader relies on: a file that a power cut left incomplete is made anew.
struct QuantizedFileWriter: ~Copyable {
    private enum Target {
        /// An open file, and the name that it is to have in the end.
        case file(Int32, path: String)
        case memory(MappedFile)
    }

    private let layout: QuantizedFile
    private let target: Target
    private var checksums: [UInt64] = []

    /// Opens a file to be written beside `path`; nil when that is not possible, or another process is at it.
    init?(_ layout: QuantizedFile, path: String) {
        let part = Self.part(of: path)
        let descriptor = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return nil }
        // Whoever had the lock before may have renamed the file since it was opened here.
        var (own, named) = (stat(), stat())
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &own) == 0, stat(part, &named) == 0,
            own.st_ino == named.st_ino, ftruncate(descriptor, 0) == 0
        else {
            close(descriptor)
            return nil
        }
        self.layout = layout
        target = .file(descriptor, path: path)
    }

    /// What is written stays in memory.
    ///
    /// - Throws: `EngineError.invalidModel` when there is not enough.
    init(inMemory layout: QuantizedFile) throws(EngineError) {
        target = .memory(try MappedFile(zeros: layout.byteCount, name: "quantized weights"))
        self.layout = layout
    }

    deinit {
        if case .file(let descriptor, _) = target { close(descriptor) }
    }

    private static func part(of path: String) -> String { path + ".part" }

    /// Writes the next matrix; false when there is no room.
    mutating func write(_ weights: UnsafeRawBufferPointer, scales: [Float], record: QuantizationRecord) -> Bool {
        let entry = layout.entries[checksums.count]
        let trailer = QuantizedFile.trailer(scales: scales, record: record)
        return trailer.withUnsafeBytes { trailer in
            var hash = ContentHash()
            hash.add(weights)
            hash.add(trailer)
            checksums.append(hash.value)
            return write(weights, at: entry.offset) && write(trailer, at: entry.offset + entry.weightByteCount)
        }
    }

    /// Writes the factors behind the last matrix; false when there is no room.
    mutating func write(_ smoothing: Smoothing) -> Bool {
        QuantizedFile.bytes(of: smoothing.factors).withUnsafeBytes { factors in
            var hash = ContentHash()
            hash.add(factors)
            checksums.append(hash.value)
            return write(factors, at: layout.factorsOffset)
        }
    }

    /// Completes the file and maps it.
    ///
    /// - Returns: nil when there is no room.
    func finish() -> MappedFile? {
        let checksums = checksums.map(\.littleEndian)
        let isWritten = checksums.withUnsafeBytes { write($0, at: layout.checksumsOffset) }
        guard isWritten, layout.header.withUnsafeBytes({ write($0, at: 0) }) else { return nil }
        switch target {
        case .memory(let file): return file
        case .file(_, let path):
            let file = try? MappedFile(path: Self.part(of: path))
            return rename(Self.part(of: path), path) == 0 ? file : nil
        }
    }

    /// Removes what was written.
    consuming func abandon() {
        if case .file(_, let path) = target { unlink(Self.part(of: path)) }
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        let descriptor: Int32
        switch target {
        case .memory(let file):
            UnsafeMutableRawBufferPointer(mutating: UnsafeRawBufferPointer(rebasing: file.bytes[offset...]))
                .copyMemory(from: bytes)
            return true
        case .file(let open, _): descriptor = open
        }
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }
}
