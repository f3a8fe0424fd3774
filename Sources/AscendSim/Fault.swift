/// One line of the fault script in LM_ASCENDSIM_FAULTS; lines are separated by newlines or semicolons.
///
///     fail call=NAME [nth=N] [every=true] code=C [async=true]   the N-th call of NAME (1) and, with every, all later ones
///     hang call=NAME [nth=N] [ms=M]                             that call takes M milliseconds (30,000), whatever time-out
///                                                               it was given; with -1 it never comes back
///     stall op=NAME [nth=N] [ms=M]                              the operator's task takes M milliseconds (30,000)
///     nan op=NAME row=R [nth=N] [every=true]                    row R of the operator's first output becomes NaN; with every
///                                                               until a device is reset
///     rot after=N offset=O bytes=B                              after N tasks so many bytes read as ones, counted from where
///                                                               the first memory of the device begins
///     oom after=BYTES                                           allocations fail once so many bytes are in use
///     lost after=N                                              the device is lost after N tasks
///
/// An operator's name is that of its second stage. An asynchronous failure is kept until the stream is synchronised.
struct Fault {
    enum Kind {
        case fail(code: Int32, isAsync: Bool, isRepeated: Bool)
        case hang(milliseconds: Int)
        case stall(milliseconds: UInt32)
        case nan(row: Int, isRepeated: Bool)
        case rot(tasks: Int, offset: Int, bytes: Int)
        case outOfMemory(bytes: Int)
        case lost(tasks: Int)
    }
    let kind: Kind
    /// The function concerned; empty for those that concern none.
    let call: String
    let nth: Int
    /// Calls seen so far.
    var seen = 0

    /// Counts a call of the fault's function and says whether it is one that is struck.
    mutating func strikes(_ name: String) -> Bool {
        guard name == call else { return false }
        seen += 1
        switch kind {
        case .fail(_, _, true), .nan(_, true): return seen >= nth
        default: return seen == nth
        }
    }

    /// Whether a reset of the device takes it away.
    var endsWithReset: Bool {
        if case .nan(_, true) = kind { return seen >= nth }
        return false
    }

    static func script(_ text: String) throws(Failure) -> [Fault] {
        var faults: [Fault] = []
        for line in text.split(whereSeparator: { $0 == "\n" || $0 == ";" }) {
            let words = line.split(separator: " ")
            guard let verb = words.first else { continue }
            var fields: [Substring: Substring] = [:]
            for word in words.dropFirst() {
                let parts = word.split(separator: "=", maxSplits: 1)
                try require(parts.count == 2, 100000, "LM_ASCENDSIM_FAULTS: '\(word)' is not name=value")
                fields[parts[0]] = parts[1]
            }
            faults.append(try Fault(verb: verb, fields: fields, line: line))
        }
        return faults
    }

    private init(verb: Substring, fields: [Substring: Substring], line: Substring) throws(Failure) {
        func number(_ name: Substring, _ standard: Int?) throws(Failure) -> Int {
            if let value = fields[name].flatMap({ Int($0) }) { return value }
            guard let standard, fields[name] == nil else {
                throw Failure(100000, "LM_ASCENDSIM_FAULTS: '\(line)' needs a number \(name)")
            }
            return standard
        }
        nth = try number("nth", 1)
        call = String(fields["call"] ?? fields["op"] ?? "")
        switch verb {
        case "fail":
            kind = .fail(
                code: Int32(truncatingIfNeeded: try number("code", nil)), isAsync: fields["async"] == "true",
                isRepeated: fields["every"] == "true")
        case "hang": kind = .hang(milliseconds: try number("ms", 30_000))
        case "stall": kind = .stall(milliseconds: UInt32(clamping: try number("ms", 30_000)))
        case "nan": kind = .nan(row: try number("row", 0), isRepeated: fields["every"] == "true")
        case "rot":
            kind = .rot(
                tasks: try number("after", nil), offset: try number("offset", nil), bytes: try number("bytes", nil))
        case "oom": kind = .outOfMemory(bytes: try number("after", nil))
        case "lost": kind = .lost(tasks: try number("after", nil))
        default: throw Failure(100000, "LM_ASCENDSIM_FAULTS: '\(verb)' is not fail, hang, stall, nan, rot, oom or lost")
        }
    }
}
