/// One direction of a simulated connection: what was written, what is under way, and what lies ready to be read.
final class Pipe {
    /// Bytes that move together, or the end of the stream.
    private struct Segment {
        var bytes: ArraySlice<UInt8>
        var isEnd: Bool
        var arrival: UInt64
    }

    /// Bytes that both socket buffers together hold.
    private let capacity: Int
    private var underWay: [Segment] = []
    private var bytesUnderWay = 0
    private var arrived: [UInt8] = []
    private var read = 0

    /// Bytes accepted from the writer so far.
    private(set) var written = 0
    /// Bytes that have arrived so far.
    private(set) var delivered = 0
    /// The writer will write no more.
    private(set) var isEnded = false
    /// The reader has, or can learn, the end.
    private(set) var hasEndArrived = false
    private var isSevered = false
    /// When the last segment arrives: none overtakes another.
    private(set) var lastArrival: UInt64 = 0

    init(capacity: Int) { self.capacity = capacity }

    /// Bytes that can be read now.
    var readable: Int { arrived.count - read }
    /// Bytes that can be written now.
    var room: Int { max(0, capacity - bytesUnderWay - readable) }
    /// Whether something was written that has not arrived.
    var isBusy: Bool { !underWay.isEmpty }

    func write(_ bytes: UnsafeRawBufferPointer, arriving moment: UInt64) {
        lastArrival = max(lastArrival, moment)
        underWay.append(Segment(bytes: ArraySlice(bytes), isEnd: false, arrival: lastArrival))
        bytesUnderWay += bytes.count
        written += bytes.count
    }

    func end(arriving moment: UInt64) {
        guard !isEnded else { return }
        isEnded = true
        lastArrival = max(lastArrival, moment)
        underWay.append(Segment(bytes: [], isEnd: true, arrival: lastArrival))
    }

    /// Moves what has arrived by `now` to the reader, and no byte beyond `limit`.
    ///
    /// - Returns: whether the limit was reached.
    func deliver(by now: UInt64, upTo limit: Int?) -> Bool {
        if isSevered { lose() }
        while let segment = underWay.first, segment.arrival <= now {
            if segment.isEnd { hasEndArrived = true }
            let count = min(segment.bytes.count, (limit ?? .max) - delivered)
            arrived.append(contentsOf: segment.bytes.prefix(count))
            delivered += count
            bytesUnderWay -= count
            if count < segment.bytes.count {
                underWay[0].bytes = segment.bytes.dropFirst(count)
                return true
            }
            underWay.removeFirst()
            if delivered == limit { return true }
        }
        return false
    }

    /// Everything under way arrives at once.
    func hurry(to now: UInt64) {
        for index in underWay.indices { underWay[index].arrival = min(underWay[index].arrival, now) }
        lastArrival = min(lastArrival, now)
    }

    /// What is under way never arrives.
    func lose() {
        underWay = []
        bytesUnderWay = 0
    }

    /// What has arrived is not there any more.
    func discard() {
        arrived = []
        read = 0
    }

    /// The reader sees the end here, whatever is written beyond.
    func sever() {
        isSevered = true
        lose()
        hasEndArrived = true
    }

    func read(_ count: Int, into buffer: UnsafeMutableRawBufferPointer) {
        arrived[read..<read + count].withUnsafeBytes { buffer.copyMemory(from: $0) }
        read += count
        guard read == arrived.count || read > 65_536 else { return }
        arrived.removeFirst(read)
        read = 0
    }
}
