/// What a device tells of itself; nil is what nobody there says.
public struct DeviceReadings: Sendable, Equatable {
    /// Its number among those that this process sees.
    public var number = 0
    /// Bytes of its memory in use, by whatever program.
    public var memoryUsed: Int?
    /// Bytes of its memory.
    public var memoryTotal: Int?
    /// Percent of the time that its matrix units work.
    public var cubeUtilization: Int?
    /// Percent of the time that its vector units work.
    public var vectorUtilization: Int?
    /// Degrees Celsius.
    public var temperature: Int?
    /// Milliwatts.
    public var power: Int?
    /// 0 for good; 1, 2, 3 for faults that are slight, serious, critical.
    public var health: Int?

    /// Nothing known.
    public init() {}
}
