namespace KantaGateway.Benchmarks;

/// <summary>The measurement cannot be made, or what was measured is not what it claims to be. The message says what to do.</summary>
sealed class BenchmarkException(string message) : Exception(message);
