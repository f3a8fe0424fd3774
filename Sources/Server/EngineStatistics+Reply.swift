internal import LMEngine
internal import LMProtocol

extension EngineStatistics {
    /// Names as vLLM's metrics say the same things, with the unit last.
    var reply: [StatisticReply] {
        var values: [(String, Int)] = [
            ("requests_running", running), ("requests_waiting", waiting), ("requests_parked", parked),
            ("kv_blocks_free", blocksFree), ("kv_blocks_cached", blocksCached), ("kv_blocks_owned", blocksOwned),
            ("kv_blocks_total", blocksTotal), ("steps_total", steps), ("steps_failed_total", failedSteps),
            ("tokens_prefilled_total", tokensPrefilled), ("tokens_generated_total", tokensGenerated),
            ("preemptions_total", preemptions), ("requests_cancelled_total", cancels),
            ("requests_failed_total", failures), ("step_time_last_nanoseconds", Int(lastStepNanoseconds)),
            ("step_time_total_nanoseconds", Int(totalStepNanoseconds)),
            ("backend_time_total_nanoseconds", Int(totalBackendNanoseconds)), ("engines", engines),
            ("engines_hung", enginesHung),
        ]
        // The first goes by the names that there are with one alone.
        if let first = devices.first { values += first.values("device") }
        if devices.count > 1 { for device in devices { values += device.values("device_\(device.number)") } }
        return values.map { StatisticReply(name: $0.0, value: UInt64(clamping: $0.1)) }
    }
}

extension DeviceReadings {
    /// What is known, under names that begin so.
    fileprivate func values(_ name: String) -> [(String, Int)] {
        let readings: [(String, Int?)] = [
            ("memory_used_bytes", memoryUsed), ("memory_total_bytes", memoryTotal),
            ("cube_utilization_percent", cubeUtilization), ("vector_utilization_percent", vectorUtilization),
            ("temperature_celsius", temperature), ("power_milliwatts", power), ("health", health),
        ]
        return readings.compactMap { reading, value in value.map { ("\(name)_\(reading)", $0) } }
    }
}
