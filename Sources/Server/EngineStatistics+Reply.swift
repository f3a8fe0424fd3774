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
        let readings: [(String, Int?)] = [
            ("device_memory_used_bytes", device?.memoryUsed), ("device_memory_total_bytes", device?.memoryTotal),
            ("device_cube_utilization_percent", device?.cubeUtilization),
            ("device_vector_utilization_percent", device?.vectorUtilization),
            ("device_temperature_celsius", device?.temperature), ("device_power_milliwatts", device?.power),
            ("device_health", device?.health),
        ]
        for (name, value) in readings { if let value { values.append((name, value)) } }
        return values.map { StatisticReply(name: $0.0, value: UInt64(clamping: $0.1)) }
    }
}
