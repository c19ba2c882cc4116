using KantaGateway.Fhir.Transport;
using Npgsql;

namespace KantaGateway.Postgres;

/// <summary>What a connection string has to be.</summary>
public static class PostgresOptions
{
    /// <summary>Whether a connection string holds a password, under whichever of its names; one that is none is refused for that.</summary>
    public static bool HasPassword(string connection)
    {
        try
        {
            return !string.IsNullOrEmpty(new NpgsqlConnectionStringBuilder(connection).Password);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            return true;
        }
    }

    /// <summary>Those of a service and of the owner who migrates: two roles of which each is reached as it must be.</summary>
    /// <param name="check">Told what is wrong.</param>
    /// <param name="service">Setting of the service's, and the connection string.</param>
    /// <param name="owner">The same of the owner's.</param>
    public static void CheckOwner(OptionsCheck check, (string Setting, string Connection) service, (string Setting, string? Connection) owner)
    {
        var serving = Check(check, service.Setting, service.Connection);
        if (owner.Connection is null)
            check.Add(owner.Setting, "needed, of the role that owns the database");
        else if (Check(check, owner.Setting, owner.Connection) is { } owning && owning.Username == serving?.Username)
            check.Add(owner.Setting, $"the role of {service.Setting}, which must be another");
    }

    /// <summary>A database is reached over a Unix socket or verified TLS, and never with a password that anybody would try.</summary>
    /// <param name="check">Told what is wrong.</param>
    /// <param name="setting">Names it.</param>
    /// <param name="connection">The connection string.</param>
    /// <returns>What it says; null where it is none.</returns>
    public static NpgsqlConnectionStringBuilder? Check(OptionsCheck check, string setting, string connection)
    {
        NpgsqlConnectionStringBuilder given;
        try
        {
            given = new(connection);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException)
        {
            // The exception's message may repeat a value.
            check.Add(setting, "not a connection string");
            return null;
        }
        string[] hosts = [.. (given.Host ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];
        var isNear = hosts.All(host => host.StartsWith('/') || host.StartsWith('@'));
        if (hosts.Length == 0)
            check.Add(setting, "names no host");
        if (string.IsNullOrEmpty(given.Username))
            check.Add(setting, "names no role (Username)");
        if (!isNear && given.SslMode != SslMode.VerifyFull)
            check.Add(setting, "over TCP it needs SSL Mode=VerifyFull");
        // Named, so that no authority of the system's, of which there are a hundred, can stand in for the database's.
        if (!isNear && string.IsNullOrEmpty(given.RootCertificate))
            check.Add(setting, "over TCP it needs Root Certificate, a file with the authority of the database's certificate");
        else if (!isNear)
            check.Authorities($"{setting}, Root Certificate", given.RootCertificate);
        if (!string.IsNullOrEmpty(given.SslCertificate))
            check.Certificate($"{setting}, SSL Certificate", given.SslCertificate);
        foreach (var (name, secret) in new[] { ("SSL Key", given.SslKey), ("Passfile", given.Passfile) })
            if (!string.IsNullOrEmpty(secret))
                check.Secret($"{setting}, {name}", secret);
        if (string.IsNullOrEmpty(given.Password))
        {
            // On a socket the server may ask the kernel who we are (peer); elsewhere something must prove it.
            if (!isNear && string.IsNullOrEmpty(given.Passfile) && string.IsNullOrEmpty(given.SslCertificate))
                check.Add(setting, "without a password only over a Unix socket");
        }
        else
            check.Password(setting, given.Password, given.Username);
        return given;
    }
}
