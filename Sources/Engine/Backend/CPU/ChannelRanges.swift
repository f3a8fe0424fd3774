/// The largest magnitude of every channel of what the matrices of a layer multiply, over the rows of a step.
final class ChannelRanges: @unchecked Sendable {  // each channel is written by one thread, read behind the step
    /// Where in a layer.
    enum Site: Int, CaseIterable {
        /// Behind the norm before attention.
        case attention
        /// What the heads attended to, before the attention's output matrix.
        case attended
        /// Behind the norm before the feed-forward block.
        case feedForward
        /// Between the feed-forward block's matrices.
        case hidden
    }

    private let channels: [UnsafeMutableBufferPointer<Float>]

    init(_ model: ModelConfiguration) {
        channels = Site.allCases.map { site in
            let magnitudes = UnsafeMutableBufferPointer<Float>.allocate(capacity: Self.width(site, model))
            magnitudes.initialize(repeating: 0)
            return magnitudes
        }
    }

    deinit { for magnitudes in channels { magnitudes.deallocate() } }

    static func width(_ site: Site, _ model: ModelConfiguration) -> Int {
        switch site {
        case .attention, .feedForward: model.embeddingLength
        case .attended: model.attendedLength
        case .hidden: max(model.feedForwardLength, model.mixture?.sharedLength ?? 0)
        }
    }

    subscript(site: Site) -> [Float] { Array(channels[site.rawValue]) }

    /// Takes rows of `width` values into account, for some of the channels.
    func add(_ values: UnsafePointer<Float>, rows: Int, width: Int, channels range: Range<Int>, at site: Site) {
        let magnitudes = channels[site.rawValue]
        for row in 0..<rows {
            for channel in range { magnitudes[channel] = max(magnitudes[channel], abs(values[row * width + channel])) }
        }
    }
}

extension ForwardWorker {
    /// Lets the step's observer, if it has one, see what the matrices behind `site` multiply.
    func observe(_ site: ChannelRanges.Site, width: Int) {
        guard let observer = step.observer else { return }
        let channelsPerPart = 64
        member.share((width + channelsPerPart - 1) / channelsPerPart) { part in
            let channels = part * channelsPerPart..<min(width, (part + 1) * channelsPerPart)
            observer.add(step.buffers.inputs, rows: step.rowCount, width: width, channels: channels, at: site)
        }
    }
}
