import LMConformance
import Testing

/// One way in which a server can be broken, and the cases that must find it.
struct Defect: Sendable, CustomTestStringConvertible {
    /// What the server does wrong.
    let name: String
    /// Cases of which each must fail.
    let foundBy: [String]
    /// What it does to the connection, beside what it does to frames.
    var kind = Kind.framesOnly
    /// What the good server gets instead of a client's frame.
    var toServer: @Sendable (DefectiveConnection, Frame) -> [Frame] = { [$1] }
    /// What the client gets instead of the good server's frame.
    var toClient: @Sendable (DefectiveConnection, Frame) -> [Frame] = { [$1] }

    enum Kind {
        case framesOnly, closesOnHalfClose, repairsPreface, answersSilence, neverCloses
    }

    var testDescription: String { name }

    /// A server without a defect: everything passes.
    static let none = Defect(name: "nothing", foundBy: [])
}

extension Frame {
    /// Whether it is of this type.
    func `is`(_ type: UInt8) -> Bool { self.type == type }

    /// The same with other bytes at an offset of the payload; unchanged when it is too short.
    func replacing(_ offset: Int, _ bytes: [UInt8]) -> Frame {
        guard payload.count >= offset + bytes.count else { return self }
        var other = self
        other.payload.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        return other
    }

    /// The `u32` at an offset of the payload.
    func u32(_ offset: Int) -> UInt32 {
        guard payload.count >= offset + 4 else { return 0 }
        return (0..<4).reduce(0) { $0 | UInt32(payload[offset + $1]) << (8 * UInt32($1)) }
    }

    /// The same with every field changed or, by nil, left out; unchanged when the fields cannot be read.
    ///
    /// - Parameter offset: where the fields begin.
    func mapFields(from offset: Int, _ change: (UInt16, [UInt8]) -> [UInt8]?) -> Frame {
        guard let fields = fields(from: offset) else { return self }
        return with(fields.compactMap { key, value in change(key, value).map { (key, $0) } }, from: offset)
    }

    /// The fields; nil when they cannot be read.
    func fields(from offset: Int) -> [(key: UInt16, value: [UInt8])]? {
        var rest = payload.dropFirst(offset)
        var fields: [(key: UInt16, value: [UInt8])] = []
        while !rest.isEmpty {
            let head = Frame(0, 0, Array(rest.prefix(6)))
            let length = Int(head.u32(2))
            guard rest.count >= 6 + length else { return nil }
            fields.append(
                (UInt16(head.payload[0]) | UInt16(head.payload[1]) << 8, Array(rest.dropFirst(6).prefix(length))))
            rest = rest.dropFirst(6 + length)
        }
        return fields
    }

    /// The same with other fields.
    func with(_ fields: [(key: UInt16, value: [UInt8])], from offset: Int) -> Frame {
        var other = self
        other.payload = Array(payload.prefix(offset))
        for (key, value) in fields {
            other.payload += littleEndian(key) + littleEndian(UInt32(value.count)) + value
        }
        return other
    }
}
