import LMConformance

extension Defect {
    /// Where the fields of GENERATE begin.
    private static let generateFields = 12

    /// What goes wrong with tokens, credit and ends.
    static let ofStreams: [Defect] = [
        Defect(
            name: "sends tokens beyond the credit", foundBy: ["5.1/1", "5.1/3", "5.1/10"],
            toServer: { [$1.is(FrameType.generate) ? $1.replacing(0, littleEndian(UInt32.max)) : $1] }),
        Defect(
            name: "takes no notice of CREDIT", foundBy: ["5.1/2", "5/22"],
            toServer: { $1.is(FrameType.credit) ? [] : [$1] }),
        Defect(
            name: "forgives consumed tokens that were never sent", foundBy: ["5.1/14", "5.1/16"],
            toServer: { [$1.is(FrameType.credit) ? $1.replacing(4, littleEndian(UInt32(0))) : $1] }),
        Defect(
            name: "ends a stream twice", foundBy: ["6.10/6", "3.1/1"],
            toClient: { $1.is(FrameType.finish) ? [$1, $1] : [$1] }),
        Defect(
            name: "ends no stream", foundBy: ["6.10/6", "5.2/2"], toClient: { $1.is(FrameType.finish) ? [] : [$1] }),
        Defect(
            name: "skips a token's number", foundBy: ["6.10/6"],
            toClient: { [$1.is(FrameType.tokens) ? $1.replacing(0, [$1.payload[0] &+ 1]) : $1] }),
        Defect(
            name: "sends the wrong checksum", foundBy: ["6.10/6"],
            toClient: { [$1.is(FrameType.finish) ? $1.replacing(8, littleEndian($1.u32(8) ^ 1)) : $1] }),
        Defect(
            name: "counts a token too many in FINISH", foundBy: ["6.10/6"],
            toClient: { [$1.is(FrameType.finish) ? $1.replacing(4, littleEndian($1.u32(4) + 1)) : $1] }),
        Defect(
            name: "sends half a character", foundBy: ["6.10/6"],
            toClient: { $1.is(FrameType.tokens) ? [Frame($1.type, $1.stream, $1.payload + [0xC3])] : [$1] }),
        Defect(
            name: "accepts twice", foundBy: ["6.10/1", "5.1/1"],
            toClient: { $1.is(FrameType.accept) ? [$1, $1] : [$1] }),
        Defect(
            name: "sends tokens before ACCEPT", foundBy: ["6.10/6"],
            toClient: { connection, frame in
                if frame.is(FrameType.accept) {
                    connection.memory["ACCEPT"] = frame
                    return []
                }
                defer { connection.memory["ACCEPT"] = nil }
                return [frame] + (connection.memory["ACCEPT"].map { [$0] } ?? [])
            }),
        Defect(
            name: "ignores CANCEL", foundBy: ["5.2/2", "5.2/3", "5/23"],
            toServer: { $1.is(FrameType.cancel) ? [] : [$1] }),
        Defect(
            name: "finishes cancelled streams as if by length", foundBy: ["5.2/2"],
            toClient: { [$1.is(FrameType.finish) ? $1.replacing(0, [2]) : $1] }),
        Defect(
            name: "knows no deadline", foundBy: ["5.6/1", "5.6/2"],
            toServer: { [$1.is(FrameType.generate) ? $1.replacing(4, littleEndian(UInt32(0))) : $1] }),
        Defect(
            name: "ignores stop strings", foundBy: ["6.5/105"], toServer: { [without($1, 0x4023)] }),
        Defect(name: "ignores tools", foundBy: ["6.5/120", "6.5/123"], toServer: { [without($1, 0x8005)] }),
        Defect(name: "ignores the seed", foundBy: ["6.10/3"], toServer: { [without($1, 23)] }),
        Defect(name: "gives no log-probabilities", foundBy: ["6.10/8", "6.10/10"], toServer: { [without($1, 24)] }),
    ]

    /// What goes wrong with frames and the connection.
    static let ofConnections: [Defect] = [
        Defect(
            name: "answers a second HELLO", foundBy: ["3.3/52", "3.3/53"],
            toServer: { connection, frame in
                guard frame.is(FrameType.hello) else { return [frame] }
                defer { connection.memory["greeted"] = frame }
                guard connection.memory["greeted"] != nil, let hello = connection.memory["server HELLO"] else {
                    return [frame]
                }
                connection.answer(hello)
                return []
            },
            toClient: { connection, frame in
                if frame.is(FrameType.hello) { connection.memory["server HELLO"] = frame }
                return [frame]
            }),
        Defect(
            name: "speaks any version", foundBy: ["3.3/15", "3.3/16"],
            toServer: { [$1.is(FrameType.hello) ? $1.replacing(0, [1, 1]) : $1] }),
        Defect(name: "repairs a wrong preface", foundBy: ["3.2/3", "3.2/10"], kind: .repairsPreface),
        Defect(name: "answers a wrong preface", foundBy: ["3.2/3", "3.2/13"], kind: .answersSilence),
        Defect(
            name: "accepts an unknown critical frame", foundBy: ["4/16", "4/25", "4/26"],
            toServer: { $1.type >= 0x80 && !known.contains($1.type) ? [] : [$1] }),
        Defect(
            name: "closes on an unknown frame that may be skipped", foundBy: ["4/11", "4/66"],
            toServer: { connection, frame in
                if frame.type == 0x7A { connection.end() }
                return [frame]
            }),
        Defect(
            name: "answers PING with other bytes", foundBy: ["4/1"],
            toClient: { [$1.is(FrameType.pong) ? $1.replacing(0, [$1.payload[0] ^ 1]) : $1] }),
        Defect(name: "answers no PING", foundBy: ["4/1", "5.5/1"], toServer: { $1.is(FrameType.ping) ? [] : [$1] }),
        Defect(
            name: "grants no more streams", foundBy: ["5.3/1", "5.3/6"],
            toClient: { connection, frame in
                guard frame.is(FrameType.maxStreams) else { return [frame] }
                defer { connection.memory["granted"] = frame }
                return connection.memory["granted"] == nil ? [frame] : []
            }),
        Defect(
            name: "takes grants back", foundBy: ["5.3/1"],
            toClient: { connection, frame in
                guard frame.is(FrameType.maxStreams) else { return [frame] }
                defer { connection.memory["granted"] = frame }
                return [connection.memory["granted"] == nil ? frame : frame.replacing(0, littleEndian(UInt32(1)))]
            }),
        Defect(
            name: "leaves the connection open after a violation", foundBy: ["4/27", "5/51"], kind: .neverCloses),
        Defect(
            name: "closes without saying why", foundBy: ["4/27", "5/51", "3.3/52"],
            toClient: { $1.is(FrameType.error) && $1.stream == 0 ? [] : [$1] }),
        Defect(
            name: "drops streams when we have no more to send", foundBy: ["3.1/1", "3.1/2"], kind: .closesOnHalfClose),
        Defect(
            name: "sends fields out of order", foundBy: ["6.6/1"],
            toClient: { _, frame in
                guard frame.is(FrameType.reply), let fields = frame.fields(from: 0) else { return [frame] }
                return [frame.with(fields.reversed(), from: 0)]
            }),
        Defect(
            name: "knows no budget", foundBy: ["8/6"],
            toServer: { $1.type < 0x80 && !known.contains($1.type) ? [] : [$1] }),
    ]

    /// What goes wrong with the contents of requests.
    static let ofRequests: [Defect] = [
        Defect(
            name: "skips unknown critical fields", foundBy: ["4.1/5", "4.1/6"],
            toServer: { _, frame in
                [
                    frame.is(FrameType.generate)
                        ? frame.mapFields(from: generateFields) { $0 & 0x8000 == 0 ? $1 : nil } : frame
                ]
            }),
        Defect(
            name: "sorts fields", foundBy: ["4.1/11", "4.1/15"],
            toServer: { _, frame in
                guard frame.is(FrameType.generate), let fields = frame.fields(from: generateFields) else {
                    return [frame]
                }
                return [frame.with(fields.sorted { $0.key < $1.key }, from: generateFields)]
            }),
        Defect(
            name: "repairs malformed UTF-8", foundBy: ["7.2/1", "7.2/5", "7.2/7"],
            toServer: { _, frame in
                guard frame.is(FrameType.generate) else { return [frame] }
                return [
                    frame.mapFields(from: generateFields) {
                        $0 == 2 ? Array(String(decoding: $1, as: UTF8.self).utf8) : $1
                    }
                ]
            }),
        Defect(
            name: "clamps the temperature", foundBy: ["6.5/13", "6.5/14", "6.5/15"],
            toServer: { _, frame in
                guard frame.is(FrameType.generate) else { return [frame] }
                return [frame.mapFields(from: generateFields) { $0 == 16 && $1.count == 4 ? [0, 0, 0, 0] : $1 }]
            }),
        Defect(
            name: "answers wrong content by ending the connection", foundBy: ["6.5/13", "7.2/1", "6.6/6"],
            toClient: { [$1.is(FrameType.error) ? Frame($1.type, 0, $1.payload) : $1] }),
        Defect(
            name: "ignores a field's wrong size", foundBy: ["4.1/31", "4.1/33"],
            toServer: { _, frame in
                guard frame.is(FrameType.generate) else { return [frame] }
                return [frame.mapFields(from: generateFields) { $0 == 16 && $1.count != 4 ? nil : $1 }]
            }),
    ]

    /// What goes wrong with resumption; the server must offer it.
    static let ofResumption: [Defect] = [
        Defect(
            name: "resumes one token too late", foundBy: ["5.7/4", "5.7/5"],
            toServer: { [$1.is(FrameType.resume) ? $1.replacing(16, littleEndian($1.u32(16) &+ 1)) : $1] }),
        Defect(
            name: "resumes from the start whatever was asked for", foundBy: ["5.7/4", "5.7/8"],
            toServer: { [$1.is(FrameType.resume) ? $1.replacing(16, littleEndian(UInt32(0))) : $1] }),
        Defect(
            name: "forgets streams with their connection", foundBy: ["5.7/4", "5.7/13"],
            toServer: { [$1.is(FrameType.resume) ? $1.replacing(0, [UInt8](repeating: 0, count: 16)) : $1] }),
        Defect(
            name: "lets two streams carry one generation", foundBy: ["5.7/13", "5.7/14"],
            toClient: { $1.is(FrameType.error) && $1.payload.first == 20 ? [] : [$1] }),
        Defect(
            name: "sends other text after a resumption", foundBy: ["5.7/4"],
            toServer: { connection, frame in
                if frame.is(FrameType.resume) { connection.memory["resumed"] = frame }
                return [frame]
            },
            toClient: { connection, frame in
                guard frame.is(FrameType.tokens), connection.memory["resumed"] != nil else { return [frame] }
                return [Frame(frame.type, frame.stream, frame.payload + [0x21])]
            }),
        Defect(
            name: "runs a repeated request twice", foundBy: ["5.8/2", "5.8/6"],
            toServer: { _, frame in
                guard frame.is(FrameType.generate) else { return [frame] }
                return [
                    frame.mapFields(from: generateFields) { key, value in
                        key == 40 && value.count == 16 ? value.map { _ in UInt8.random(in: 0...255) } : value
                    }
                ]
            }),
        Defect(
            name: "gives the same resume token to everyone", foundBy: ["5.7/3"],
            toClient: { _, frame in
                guard frame.is(FrameType.accept) else { return [frame] }
                return [frame.mapFields(from: 4) { $0 == 4 ? [UInt8](repeating: 1, count: 16) : $1 }]
            }),
    ]

    private static let known: Set<UInt8> = [
        FrameType.hello, FrameType.ping, FrameType.pong, FrameType.goAway, FrameType.maxStreams, FrameType.generate,
        FrameType.call, FrameType.credit, FrameType.cancel, FrameType.resume, FrameType.accept, FrameType.tokens,
        FrameType.finish, FrameType.error, FrameType.reply,
    ]

    /// GENERATE without a field; other frames as they are.
    private static func without(_ frame: Frame, _ key: UInt16) -> Frame {
        guard frame.is(FrameType.generate) else { return frame }
        return frame.mapFields(from: generateFields) { $0 == key ? nil : $1 }
    }
}
