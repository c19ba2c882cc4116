using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Configuration;

namespace KantaGateway.Fhir.Transport;

/// <summary>The rules of what a part is told at its start, all of them at once: each error names the setting and what it has to be, and repeats no value, for some hold passwords.</summary>
public class OptionsCheck
{
    private const UnixFileMode Others = UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
    private const UnixFileMode NotTheOwners = Others | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute;

    // What installers, containers and tutorials leave behind.
    private static readonly string[] DefaultPasswords = ["postgres", "password", "passwd", "secret", "root", "admin", "changeme", "kanta", "test", "redis", "foobared", "default", "123456", "12345678"];

    private readonly List<string> _wrong = [];

    /// <summary>Every error as <c>setting: what it has to be</c>; empty when all hold.</summary>
    public IReadOnlyList<string> Wrong => _wrong;

    public void Add(string setting, string rule) => _wrong.Add($"{setting}: {rule}");

    /// <param name="part">Whose options they are.</param>
    /// <exception cref="InvalidOperationException">One is wrong; the message names all that are.</exception>
    public void ThrowIfWrong(string part)
    {
        if (_wrong.Count > 0)
            throw new InvalidOperationException($"{part} options: {string.Join("; ", _wrong)}.");
    }

    /// <summary>A file is there.</summary>
    public bool Exists(string setting, string? file)
    {
        if (File.Exists(file))
            return true;
        Add(setting, "no such file");
        return false;
    }

    /// <summary>A file with a secret is there, and only its owner may read it, or also its group: an orchestrator that mounts secrets gives them to a group.</summary>
    /// <param name="setting">Names it.</param>
    /// <param name="file">Its place.</param>
    /// <param name="ownerAlone">Not its group either.</param>
    public void Secret(string setting, string? file, bool ownerAlone = false)
    {
        if (Exists(setting, file) && !IsPrivate(file!, ownerAlone))
            Add(setting, ownerAlone ? "a file that its owner alone may read (chmod 600)" : "a file that nobody but its owner, or its group, may read and only the owner write (chmod 600)");
    }

    /// <summary>A PEM file has certificates that are valid now, each of them.</summary>
    public void Certificate(string setting, string? file)
    {
        if (!Exists(setting, file))
            return;
        var certificates = CertificatesIn(file!);
        if (certificates.Count == 0)
            Add(setting, "a PEM file with a certificate");
        foreach (var certificate in certificates)
        {
            if (certificate.NotAfter.ToUniversalTime() <= Now)
                Add(setting, $"a certificate that is valid now; one of this file ended on {Day(certificate.NotAfter)}");
            else if (certificate.NotBefore.ToUniversalTime() > Now)
                Add(setting, $"a certificate that is valid now; one of this file begins on {Day(certificate.NotBefore)}, or the clock of this machine is wrong");
            certificate.Dispose();
        }
    }

    /// <summary>A PEM file has authorities, of which one at least is valid now: beside it one that has ended may still be there after a change of authorities, and vouches for nobody.</summary>
    public void Authorities(string setting, string? file)
    {
        if (!Exists(setting, file))
            return;
        var certificates = CertificatesIn(file!);
        if (!certificates.Any(static certificate => certificate.NotAfter.ToUniversalTime() > Now && certificate.NotBefore.ToUniversalTime() <= Now))
            Add(setting, certificates.Count == 0 ? "a PEM file with a certificate authority" : "a certificate authority that is valid now; those of this file have ended, or not begun");
        foreach (var certificate in certificates)
            certificate.Dispose();
    }

    /// <summary>A password is not one that anybody would try.</summary>
    /// <param name="setting">Names it, or what holds it.</param>
    /// <param name="password">Not empty.</param>
    /// <param name="user">Whose; null: nobody is named.</param>
    public void Password(string setting, string password, string? user)
    {
        if (password.Equals(user, StringComparison.OrdinalIgnoreCase) || DefaultPasswords.Contains(password, StringComparer.OrdinalIgnoreCase))
            Add(setting, "a default password");
    }

    /// <summary>A listener that nobody reaches from another machine.</summary>
    /// <returns>Null where it is wrong.</returns>
    public InternalEndpoint? Listener(string setting, string? text)
    {
        if (Parse(text) is { } endpoint && (endpoint.IsPrivate || endpoint.Address is { Scheme: "http", IsLoopback: true }))
            return endpoint;
        Add(setting, "unix:/path, process:name or http on a loopback address; a part that is not the gateway listens nowhere else");
        return null;
    }

    /// <summary>Another part of the deployment, reached on a road that nobody else can read: grants and records pass on it.</summary>
    public void Peer(string setting, string? text)
    {
        if (Parse(text) is not { } endpoint || !(endpoint.IsPrivate || IsProtected(endpoint.Address)))
            Add(setting, "unix:/path, process:name, https, or http on a loopback address");
    }

    /// <summary>Where a part tells of itself: a listener for Prometheus on this machine, and a collector on a road that nobody else reads.</summary>
    public void Telemetry(string listenSetting, string? listen, string otlpSetting, string? otlp)
    {
        if (listen is not null && !(Uri.TryCreate(listen, UriKind.Absolute, out var at) && at is { Scheme: "http", IsLoopback: true, PathAndQuery: "/" }))
            Add(listenSetting, "http://127.0.0.1:port");
        if (otlp is not null && !(Uri.TryCreate(otlp, UriKind.Absolute, out var collector) && IsProtected(collector)))
            Add(otlpSetting, "https, or http on a loopback address");
    }

    /// <summary>A time to go on serving after the part was told to stop, seconds.</summary>
    public void Draining(string setting, int seconds)
    {
        if (seconds is < 0 or > DrainingSetup.Longest)
            Add(setting, $"0 to {DrainingSetup.Longest}");
    }

    /// <summary>A configuration file in which a password stands is read by nobody else.</summary>
    /// <param name="file">May be missing: then the environment says all.</param>
    /// <param name="hasPassword">By setting, whether what the file says there holds one.</param>
    /// <exception cref="InvalidOperationException">Others may read it; the message names the settings.</exception>
    public static void RequirePrivateConfiguration(string file, params ReadOnlySpan<(string Setting, Func<string, bool> HasPassword)> hasPassword)
    {
        if (!File.Exists(file) || IsPrivate(file, ownerAlone: false))
            return;
        var stated = new ConfigurationBuilder().AddJsonFile(Path.GetFullPath(file)).Build();
        var check = new OptionsCheck();
        foreach (var (setting, holds) in hasPassword)
            if (stated[setting] is { } value && holds(value))
                check.Add(setting, "it has a password, so nobody but its owner, or its group, may read the configuration file (chmod 600); or give it in the environment");
        check.ThrowIfWrong("Configuration");
    }

    /// <summary>Whether what passes there is encrypted, or leaves this machine not at all.</summary>
    public static bool IsProtected(Uri address) => address.Scheme == Uri.UriSchemeHttps || (address.Scheme == Uri.UriSchemeHttp && address.IsLoopback);

    // RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 and this machine.
    private static readonly IPNetwork[] Private = [.. ((string[])["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"]).Select(IPNetwork.Parse)];

    /// <summary>Whether who listens there may be reached from anywhere: <c>*</c>, an address that stands for all, or one that is not private. A name is not looked up.</summary>
    public static bool IsPublic(string listener) => listener == "*" || (IPAddress.TryParse(listener, out var address) && !Private.Any(network => network.Contains(address)));

    private static DateTime Now => DateTime.UtcNow;

    private static string Day(DateTime at) => at.ToUniversalTime().ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture);

    private static bool IsPrivate(string file, bool ownerAlone) =>
        OperatingSystem.IsWindows() || (File.GetUnixFileMode(file) & (ownerAlone ? NotTheOwners : Others | UnixFileMode.GroupWrite)) == 0;

    private static InternalEndpoint? Parse(string? text)
    {
        try
        {
            return InternalEndpoint.Parse(text ?? "");
        }
        catch (FormatException)
        {
            return null;
        }
    }

    private static X509Certificate2Collection CertificatesIn(string file)
    {
        var certificates = new X509Certificate2Collection();
        try
        {
            certificates.ImportFromPemFile(file);
        }
        catch (CryptographicException)
        {
            // Then it has none.
        }
        return certificates;
    }
}
