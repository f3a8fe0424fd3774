internal import CAscend
internal import Glibc

/// Asks the runtime and the management library about one NPU. Needs no context, and so no thread in particular.
struct AscendReadings {
    /// Its number among those that this process sees.
    let index: Int32
    private let libraries = AscendLibraries.shared
    /// Card and chip as the management library counts them; nil when it is not there.
    private let place: (card: Int32, chip: Int32)?

    init(index: Int32) {
        self.index = index
        let management = libraries.management
        var (card, chip): (Int32, Int32) = (0, 0)
        let number = UInt32(clamping: Self.number(of: index))
        guard management.dcmi_init?() == 0,
            management.dcmi_get_card_id_device_id_from_logicid?(&card, &chip, number) == 0
        else {
            place = nil
            return
        }
        place = (card, chip)
    }

    /// The device's number among all that this machine, or this container, has.
    static func number(of index: Int32, visible: String? = environment("ASCEND_RT_VISIBLE_DEVICES")) -> Int {
        let visible = visible.map { $0.split(separator: ",") } ?? []
        guard visible.indices.contains(Int(index)), let number = Int(visible[Int(index)]) else { return Int(index) }
        return number
    }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// What is known now; nil without the management library.
    func read() -> DeviceReadings? {
        guard let (card, chip) = place else { return nil }
        let management = libraries.management
        var readings = DeviceReadings()
        readUtilization(into: &readings, card, chip)
        var memory = dcmi_hbm_info()
        if management.dcmi_get_device_hbm_info?(card, chip, &memory) == 0, memory.memory_size > 0 {
            readings.memoryUsed = Int(clamping: memory.memory_usage) << 20
            readings.memoryTotal = Int(clamping: memory.memory_size) << 20
        }
        var value: Int32 = 0
        if management.dcmi_get_device_temperature?(card, chip, &value) == 0 { readings.temperature = Int(value) }
        if management.dcmi_get_device_power_info?(card, chip, &value) == 0 { readings.power = Int(value) * 100 }
        var health: UInt32 = 0
        // A device that is not there has all bits set.
        if management.dcmi_get_device_health?(card, chip, &health) == 0, health <= 3 { readings.health = Int(health) }
        return readings
    }

    private func readUtilization(into readings: inout DeviceReadings, _ card: Int32, _ chip: Int32) {
        var own = aclrtUtilizationInfo()
        if let ask = libraries.runtime.aclrtGetDeviceUtilizationRate, ask(index, &own) == ACL_SUCCESS {
            // -1 is a unit that is not there, or not counted.
            if own.cubeUtilization >= 0 { readings.cubeUtilization = Int(own.cubeUtilization) }
            if own.vectorUtilization >= 0 { readings.vectorUtilization = Int(own.vectorUtilization) }
        }
        func rate(_ kind: Int) -> Int? {
            var percent: UInt32 = 0
            let code = libraries.management.dcmi_get_device_utilization_rate?(card, chip, Int32(kind), &percent)
            return code == 0 && percent <= 100 ? Int(percent) : nil
        }
        readings.cubeUtilization = readings.cubeUtilization ?? rate(DCMI_UTILIZATION_RATE_AICORE)
        readings.vectorUtilization = readings.vectorUtilization ?? rate(DCMI_UTILIZATION_RATE_VECTORCORE)
    }
}
