internal import Glibc

/// The table that `npu-smi info` prints, for machines where the management library cannot be loaded.
package struct AscendSmiTable: Sendable {
    /// In the order of the table.
    package private(set) var devices: [DeviceReadings] = []

    /// Takes what it understands: two lines of three cells for each chip, values where drivers 23 to 25 have them.
    package init(_ text: String) {
        var first: [[Substring]]?
        for line in text.split(separator: "\n") {
            let cells = line.split(separator: "|").map { $0.split(whereSeparator: \.isWhitespace) }
            guard cells.count == 3, let number = cells[0].first, Int(number) != nil else {
                first = nil
                continue
            }
            guard let upper = first else {
                first = cells
                continue
            }
            devices.append(DeviceReadings(upper, cells))
            first = nil
        }
    }

    /// Runs the program and reads what it prints; nil when there is none, or it says nothing that is understood.
    static func current() -> AscendSmiTable? {
        guard let pipe = popen("exec timeout 10 npu-smi info 2>/dev/null", "r") else { return nil }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, pipe)
        pclose(pipe)
        let table = AscendSmiTable(String(decoding: bytes[..<count], as: UTF8.self))
        return table.devices.isEmpty ? nil : table
    }
}

extension DeviceReadings {
    /// From the lines of a chip: number and name, health, power and temperature; below them load and memory.
    fileprivate init(_ upper: [[Substring]], _ lower: [[Substring]]) {
        self.init()
        health = upper[1].first.flatMap { ["OK": 0, "Warning": 1, "Alarm": 2, "Critical": 3][$0] }
        power = upper[2].first.flatMap { Double($0) }.flatMap { Int(exactly: ($0 * 1_000).rounded()) }
        temperature = upper[2].dropFirst().first.flatMap { Int($0) }
        cubeUtilization = lower[2].first.flatMap { Int($0) }.flatMap { (0...100).contains($0) ? $0 : nil }
        // The last pair is the memory that models are in; those without any of their own show one pair only.
        let words = lower[2].suffix(3).map { String($0) }
        guard words.count == 3, words[1] == "/", let used = Int(words[0]), let total = Int(words[2]),
            (0...1 << 32).contains(used), (1...1 << 32).contains(total)
        else { return }
        (memoryUsed, memoryTotal) = (used << 20, total << 20)
    }
}
