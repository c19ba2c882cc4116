namespace KantaGateway.Postgres;

/// <summary>A database that is not to be used as it is; the message says what to do, without a value of a setting.</summary>
public sealed class UnfitDatabaseException(string message, Exception? inner = null) : Exception(message, inner);
