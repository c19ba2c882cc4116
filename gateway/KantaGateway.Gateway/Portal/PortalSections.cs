using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Portal;

/// <summary>Who opens a page, as far as it decides what the page leads to.</summary>
/// <param name="Requester">Null without a session.</param>
/// <param name="ActingFor">For whom she acts; null: for herself.</param>
/// <param name="Options">What this gateway has.</param>
internal sealed record PortalVisitor(Requester? Requester, RepresentedPerson? ActingFor, GatewayOptions Options)
{
    public bool IsSignedIn => Requester is not null;

    public bool IsCustodian => ActingFor is { Kind: RepresentationKind.Custodian };

    public bool MayHaveNotices => Options.Breach?.Notices is not null;
}

/// <summary>A link that stands on every page.</summary>
/// <param name="Address">Path of the section's first page; what lies below it is of the same section.</param>
/// <param name="Text">Key of its name.</param>
/// <param name="IsFor">Whether the visitor is shown it.</param>
internal sealed record PortalSection(string Address, string Text, Func<PortalVisitor, bool> IsFor)
{
    /// <summary>Whether a page belongs to it.</summary>
    public bool Holds(PathString page) => Address == "/" ? page == "/" : page.StartsWithSegments(Address, StringComparison.Ordinal);
}

/// <summary>What every page leads to.</summary>
internal static class PortalSections
{
    /// <summary>At the top, for who is signed in, in this order.</summary>
    public static readonly IReadOnlyList<PortalSection> Navigation =
    [
        new("/", "nav.home", static _ => true),
        new("/records", "nav.records", static _ => true),
        new("/consent", "nav.consent", static _ => true),
        new("/access-log", "nav.access", static visitor => !visitor.IsCustodian),
        new("/inbox", "nav.inbox", static visitor => !visitor.IsCustodian),
        new("/apps", "nav.apps", static visitor => visitor.ActingFor is null),
        new("/on-behalf", "nav.acting", static visitor => visitor.Options.Identification.Mandates is not null),
    ];

    /// <summary>At the foot, in this order.</summary>
    public static readonly IReadOnlyList<PortalSection> Footer =
    [
        new("/download", "download.title", static visitor => visitor.IsSignedIn),
        new("/notices", "breach.list.title", static visitor => visitor.MayHaveNotices && visitor.IsSignedIn && !visitor.IsCustodian),
        new("/notice-check", "footer.check", static visitor => visitor.MayHaveNotices),
        new("/help", "footer.help", static _ => true),
        new("/about", "footer.about", static _ => true),
        new("/accessibility", "footer.accessibility", static _ => true),
    ];
}
