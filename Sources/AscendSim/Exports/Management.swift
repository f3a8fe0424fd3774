// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation
// What is exported is documented in the headers of CAscend. One chip per card, as the cards of A2 have it.

public import CAscend

private let wrong: Int32 = -8001

@c @implementation public func dcmi_init() -> Int32 { 0 }

@c @implementation public func dcmi_get_card_list(
    _ card_num: UnsafeMutablePointer<Int32>?, _ card_list: UnsafeMutablePointer<Int32>?, _ list_len: Int32
) -> Int32 {
    ask { world in
        let count = min(Int32(world.devices.count), max(list_len, 0))
        card_num?.pointee = count
        for index in 0..<Int(count) { card_list?[index] = Int32(index) }
        return card_num != nil && card_list != nil
    }
}

@c @implementation public func dcmi_get_device_num_in_card(
    _ card_id: Int32, _ device_num: UnsafeMutablePointer<Int32>?
) -> Int32 {
    of(card_id, 0, device_num) { _ in 1 }
}

@c @implementation public func dcmi_get_card_id_device_id_from_logicid(
    _ card_id: UnsafeMutablePointer<Int32>?, _ device_id: UnsafeMutablePointer<Int32>?, _ device_logic_id: UInt32
) -> Int32 {
    ask { world in
        card_id?.pointee = Int32(clamping: device_logic_id)
        device_id?.pointee = 0
        return device_logic_id < UInt32(world.devices.count) && card_id != nil && device_id != nil
    }
}

@c @implementation public func dcmi_get_device_utilization_rate(
    _ card_id: Int32, _ device_id: Int32, _ input_type: Int32, _ utilization_rate: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    of(card_id, device_id, utilization_rate) { device in
        if input_type == DCMI_UTILIZATION_RATE_HBM {
            return UInt32((world.memory.used[device.id] ?? 0) * 100 / world.settings.memoryBytes)
        }
        return device.streams.contains { !$0.isIdle } ? 100 : 0
    }
}

@c @implementation public func dcmi_get_device_hbm_info(
    _ card_id: Int32, _ device_id: Int32, _ hbm_info: UnsafeMutablePointer<dcmi_hbm_info>?
) -> Int32 {
    of(card_id, device_id, hbm_info) { device in
        let used = world.memory.used[device.id] ?? 0
        return dcmi_hbm_info(
            memory_size: UInt64(world.settings.memoryBytes >> 20), freq: 1600, memory_usage: UInt64(used >> 20),
            temp: 40, bandwith_util_rate: 0)
    }
}

@c @implementation public func dcmi_get_device_power_info(
    _ card_id: Int32, _ device_id: Int32, _ power: UnsafeMutablePointer<Int32>?
) -> Int32 {
    of(card_id, device_id, power) { _ in 900 }
}

@c @implementation public func dcmi_get_device_temperature(
    _ card_id: Int32, _ device_id: Int32, _ temperature: UnsafeMutablePointer<Int32>?
) -> Int32 {
    of(card_id, device_id, temperature) { 42 + Int32($0.id) }
}

@c @implementation public func dcmi_get_device_health(
    _ card_id: Int32, _ device_id: Int32, _ health: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    of(card_id, device_id, health) { $0.failure == nil ? 0 : 3 }
}

private func ask(_ body: (World) -> Bool) -> Int32 {
    world.lock.lock()
    defer { world.lock.unlock() }
    return body(world) ? 0 : wrong
}

private func of<Value>(
    _ card: Int32, _ chip: Int32, _ result: UnsafeMutablePointer<Value>?, _ value: (Device) -> Value
) -> Int32 {
    ask { world in
        guard world.devices.indices.contains(Int(card)), chip == 0, let result else { return false }
        result.pointee = value(world.devices[Int(card)])
        return true
    }
}
