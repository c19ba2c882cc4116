namespace KantaGateway.Fhir.Transport;

/// <summary>
/// Headers between gateway and repository. The gateway drops every inbound header with <see cref="Prefix"/> before it
/// sets its own, and drops them again from what it answers.
/// </summary>
public static class InternalHeaders
{
    public const string Prefix = "X-Kanta-";

    /// <summary>Signed <see cref="Grants.Grant"/> for the compartment that the request is about.</summary>
    public const string Grant = "X-Kanta-Grant";

    /// <summary>On writes and searches: a second grant, to read (and where a write has directory entries, write) the directory.</summary>
    public const string DirectoryGrant = "X-Kanta-Directory-Grant";

    /// <summary>The public FHIR base, for full URLs and links in what is answered.</summary>
    public const string Base = "X-Kanta-Base";

    /// <summary>The language that the caller reads: fi, sv or en; absent means fi. See <see cref="Outcomes.OutcomeLanguage"/>.</summary>
    public const string Language = "X-Kanta-Language";

    /// <summary>The form in which the caller reads the answer, see <see cref="Formats.Presentation.Encode"/>; none means canonical JSON.</summary>
    public const string Presentation = "X-Kanta-Presentation";

    /// <summary>On writes, the client's policy: <c>accept</c> stores resources that claim a profile which is not known; absent refuses them.</summary>
    public const string UnknownProfiles = "X-Kanta-Unknown-Profiles";

    /// <summary>Response: what the body discloses or has written, see <see cref="Grants.DisclosureManifest"/>.</summary>
    public const string Manifest = "X-Kanta-Manifest";

    /// <summary>
    /// Response with status 412 and no body: the policy has moved on; the value is its version now. Without this header a
    /// 412 is an ordinary If-Match failure.
    /// </summary>
    public const string PolicyVersion = "X-Kanta-Policy-Version";

    /// <summary>Response with status 412 and no body: the key service has given a key out for the grant already, and nothing was read or stored. Send it again with another.</summary>
    public const string GrantSpent = "X-Kanta-Grant-Spent";

    /// <summary>
    /// Response beside <see cref="PolicyVersion"/> or <see cref="GrantSpent"/>: the content that was sent lies in the repository, under this name, for a minute. On the
    /// same request made again without the content: it is that one.
    /// </summary>
    public const string ArrivedContent = "X-Kanta-Arrived-Content";

    /// <summary>Response with status 500: what is stored of the compartment is not as it was written. Somebody with rights in the database has changed it, or the disk has.</summary>
    public const string StoreChanged = "X-Kanta-Store-Changed";

    /// <summary>Response of <c>/health/live</c> of an internal part: what time it is there, milliseconds from the Unix epoch.</summary>
    public const string Time = "X-Kanta-Time";

    /// <summary>In both directions and on the public answer.</summary>
    public const string CorrelationId = "X-Correlation-Id";
}
