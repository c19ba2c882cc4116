using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Audit;
using KantaGateway.Audit.Witnessing;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Client;

/// <summary>What a client needs to know. Immutable; keys and certificates are the caller's to protect.</summary>
public sealed record KantaClientOptions
{
    public required ClientRegistration Registration { get; init; }

    /// <summary>Private key of the registration, which signs client assertions.</summary>
    public required JsonWebKey SigningKey { get; init; }

    /// <summary>Certificate of the organisation with its chain and key; null: none is shown, and the gateway refuses.</summary>
    public SslStreamCertificateContext? Certificate { get; init; }

    /// <summary>Roots by which the gateway's certificate is checked; null: the system's.</summary>
    public X509Certificate2Collection? TrustedRoots { get; init; }

    /// <summary>Scheme, host and port where the gateway is reached, if they are not those of the registration.</summary>
    public Uri? Address { get; init; }

    /// <summary>Key of the audit log, by which receipts are verified; null: they are kept and not verified.</summary>
    public NoteVerifier? AuditLog { get; init; }

    /// <summary>Whose cosignatures a proof needs besides; null: nobody's.</summary>
    public WitnessPolicy? Witnesses { get; init; }

    /// <summary>Answers whose receipts are kept; the oldest go first. 10,000 by default; 0 keeps all.</summary>
    public int KeptAnswers { get; init; } = 10_000;

    public RepeatOptions Repeats { get; init; } = new();

    /// <summary>HTTP version to ask for; lower ones are taken too. 2.0 by default.</summary>
    public Version HttpVersion { get; init; } = System.Net.HttpVersion.Version20;

    /// <summary>Bound of the connection pool, from 1; null: none.</summary>
    public int? MaxConnections { get; init; }

    /// <summary>Called for every new TCP connection.</summary>
    public Action? Connected { get; init; }

    /// <summary>Given the connections, returns what stands between the client and them, such as a handler that traces or that breaks things in a test; null: nothing.</summary>
    public Func<HttpMessageHandler, HttpMessageHandler>? Between { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Reads what a clinic was given: <c>client.json</c>, <c>private_key.jwk</c>, <c>tls.pem</c> and <c>tls.key</c>.</summary>
    /// <param name="folder">Where they lie.</param>
    /// <param name="roots">PEM file with the roots of the gateway's certificate; null: the system's.</param>
    /// <param name="auditLog">File with the verifier key of the audit log; null: receipts are not verified.</param>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    /// <exception cref="InvalidDataException">One of them is something else.</exception>
    public static KantaClientOptions FromFolder(string folder, string? roots = null, string? auditLog = null)
    {
        string At(string name) => Path.Combine(folder, name);
        var registration = ClientRegistration.Load(At("client.json"));
        X509Certificate2Collection? trusted = null;
        if (roots is not null)
            (trusted = []).ImportFromPemFile(roots);
        NoteVerifier? log = null;
        if (auditLog is not null && !NoteVerifier.TryParse(File.ReadAllText(auditLog).Trim(), out log))
            throw new InvalidDataException($"{Path.GetFileName(auditLog)} holds no verifier key.");
        return new()
        {
            Registration = registration,
            SigningKey = new(File.ReadAllText(At("private_key.jwk"))) { KeyId = registration.Kid },
            Certificate = Transport.Identity(At("tls.pem"), At("tls.key")),
            TrustedRoots = trusted,
            AuditLog = log,
        };
    }
}

/// <summary>When a request that failed is sent again. Only one that can be repeated is: see <see cref="Repeatable"/>.</summary>
public sealed record RepeatOptions
{
    /// <summary>Times that it is sent again, 0 to 10; 4 by default.</summary>
    public int Most { get; init; } = 4;

    /// <summary>First wait; each further one is about twice as long. Half a second by default.</summary>
    public TimeSpan FirstWait { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Longest wait. Where <c>Retry-After</c> says longer, the refusal is thrown and says when. Half a minute by default.</summary>
    public TimeSpan LongestWait { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>For one attempt; half a minute by default.</summary>
    public TimeSpan Attempt { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Nothing is sent again.</summary>
    public static RepeatOptions None { get; } = new() { Most = 0, Attempt = TimeSpan.FromSeconds(100) };
}
