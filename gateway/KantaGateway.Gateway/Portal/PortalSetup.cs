using System.Globalization;
using System.Text.Unicode;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Portal.Download;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Localization;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.ApplicationParts;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.WebEncoders;

namespace KantaGateway.Gateway.Portal;

/// <summary>Marks the portal's endpoints: pages, assets and the language switch.</summary>
/// <remarks>Pages reach patient data only through <c>IInnerRequests</c>, so the decision stage stands behind them, not before.</remarks>
public sealed class PortalEndpoint;

/// <summary>Puts the citizen's portal into the host.</summary>
public static class PortalSetup
{
    /// <summary>Name of the cookie with the chosen language (fi, sv or en).</summary>
    internal const string LanguageCookie = "__Host-kanta-language";

    /// <summary>Registers the pages and what they need. Call before the application is built.</summary>
    public static void AddPortal(this WebApplicationBuilder builder, GatewayOptions options)
    {
        builder.Services.AddRazorPages(pages =>
        {
            pages.RootDirectory = "/Portal/Pages";
            pages.Conventions.ConfigureFilter(new AutoValidateAntiforgeryTokenAttribute());
            pages.Conventions.ConfigureFilter(new CitizenOnly());
            pages.Conventions.ConfigureFilter(new OperatorOnly());
            if (options.Identification.Operators is null)
                pages.Conventions.AddFolderRouteModelConvention("/Operator", static page => page.Selectors.Clear());
            if (options.Breach is null)
                foreach (var page in (string[])["/Operator/Cases", "/Operator/Case", "/Operator/Report"])
                    pages.Conventions.AddPageRouteModelConvention(page, static its => its.Selectors.Clear());
            if (options.Breach?.Notices is null)
                pages.Conventions.AddPageRouteModelConvention("/Operator/Notices", static its => its.Selectors.Clear());
            if (options.Identification.Mandates is null)
                pages.Conventions.AddPageRouteModelConvention("/OnBehalf", static page => page.Selectors.Clear());
            if (options.Breach?.Notices is null)
                pages.Conventions.AddFolderRouteModelConvention("/Notice", static page => page.Selectors.Clear());
            pages.Conventions.ConfigureFilter(new PlainRefusals());
        }).ConfigureApplicationPartManager(parts =>
        {
            // The host may be another assembly (the development host, a test), which MVC would search instead of this one.
            var assembly = typeof(PortalSetup).Assembly;
            foreach (var part in ApplicationPartFactory.GetApplicationPartFactory(assembly).GetApplicationParts(assembly))
            {
                if (!parts.ApplicationParts.Any(p => p.GetType() == part.GetType() && p.Name == part.Name))
                    parts.ApplicationParts.Add(part);
            }
        });
        builder.Services.AddAntiforgery(forms =>
        {
            forms.Cookie.Name = "__Host-kanta-form";
            forms.Cookie.SecurePolicy = CookieSecurePolicy.Always;
            forms.Cookie.SameSite = SameSiteMode.Strict;
            forms.Cookie.HttpOnly = true;
            forms.Cookie.Path = "/";
        });
        builder.Services.AddSingleton<IAntiforgeryAdditionalDataProvider, FormsOfOnePerson>();
        // Finnish and Swedish as themselves and not as entities: half the bytes on a cheap phone's line.
        builder.Services.Configure<WebEncoderOptions>(encoding => encoding.TextEncoderSettings = new(UnicodeRanges.All));
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton<Texts>();
        builder.Services.AddSingleton<OrganisationNames>();
        builder.Services.TryAddSingleton(_ => ProtectionRules.Of(options.ProtectedServicesFile, options.ProtectedPracticesFile));
        builder.Services.AddSingleton<ProtectedEntries>();
        builder.Services.AddSingleton<EntryLines>();
        builder.Services.AddHttpContextAccessor();
        builder.Services.AddSingleton<RecordPages>();
        builder.Services.AddSingleton<OwnRecords>();
        builder.Services.AddSingleton<PrintedDeclarations>();
        builder.Services.AddSingleton<OwnDeclarations>();
        builder.Services.AddSingleton<IWhoSeesWhat, WhoSeesWhat>();
        builder.Services.AddSingleton<DenialChoices>();
        builder.Services.AddSingleton<SpecialAccesses>();
        builder.Services.AddSingleton<AccessEvents>();
        builder.Services.AddSingleton<AccessExport>();
        builder.Services.AddSingleton<ConnectedApps>();
        builder.Services.AddSingleton<DisputeStandings>();
        builder.Services.AddSingleton<Inbox>();
        builder.Services.AddSingleton<RecordBundle>();
        builder.Services.AddSingleton<RecordPdf>();
        builder.Services.AddSingleton<Disputes>();
        builder.Services.AddSingleton<RectificationTrail>();
        builder.Services.AddSingleton<Rectifications>();
        builder.Services.AddApiDescription(options);
        if (options.Breach is not null)
            builder.Services.AddHostedService<DisputeRecovery>();
    }

    /// <summary>Adds the pages, their assets and the language switch. Call after <c>MapIdentification</c>.</summary>
    public static void MapPortal(this WebApplication app)
    {
        var cultures = Texts.Languages.Select(l => new CultureInfo(l.Code)).ToArray();
        var language = new RequestLocalizationOptions
        {
            DefaultRequestCulture = new("fi"),
            SupportedCultures = cultures,
            SupportedUICultures = cultures,
            RequestCultureProviders =
            [
                new CustomRequestCultureProvider(context => Task.FromResult(
                    context.Request.Cookies[LanguageCookie] is { } code ? new ProviderCultureResult(code) : null)),
                new AcceptLanguageHeaderRequestCultureProvider(),
            ],
        };
        // The sign-in passes the language on to the broker, the choice for whom to act to e-Authorizations.
        app.UseWhen(context => IsPortal(context) || context.Request.Path == "/signin" || context.Request.Path == OnBehalf.ChoosePath, portal => portal.UseRequestLocalization(language));
        app.UseWhen(IsPortal, portal => portal.UseMiddleware<PortalHeaders>());

        var marker = new PortalEndpoint();
        app.MapRazorPages().WithMetadata(marker);
        app.MapPortalAssets().WithMetadata(marker);
        app.MapWhoSeesWhat(marker);
        app.MapDeskForms(marker);
        app.MapEmergenciesToReview(marker);
        app.MapDisputes(marker);
        app.MapRectifications(marker);
        app.MapRectificationsToAnswer(marker);
        app.MapApps(marker);
        app.MapInbox(marker);
        app.MapApiDescription(marker);
        app.MapGet("/language/{code}", SwitchLanguage).WithMetadata(marker);
        app.MapGet("/session", ProlongSession).WithMetadata(marker);
        // What no endpoint answers gets a page a person can read; the FHIR paths and the protocols map their own.
        app.MapFallbackToPage("/NotFound").WithMetadata(marker);
    }

    private static bool IsPortal(HttpContext context) => context.GetEndpoint()?.Metadata.GetMetadata<PortalEndpoint>() is not null;

    /// <summary>Being asked prolongs a session, as every page does; a script asks so that a page with a half-filled form may stay.</summary>
    private static IResult ProlongSession(HttpContext context, IIdentification identification, Texts texts) =>
        identification.PortalRequester(context) is { } requester ? Results.Json(new { ends = Dates.Machine(requester.Expires), text = texts["session.ends", Dates.Clock(requester.Expires)] })
        : Results.StatusCode(PortalSessions.AreAway(context) ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status401Unauthorized);

    private static IResult SwitchLanguage(string code, string? back, HttpContext context)
    {
        if (!Texts.Languages.Any(l => l.Code == code))
            return Results.NotFound();
        // Lax, not Strict: the first page after identification comes from the broker's site and has to be in the right language.
        context.Response.Cookies.Append(LanguageCookie, code, new()
        {
            HttpOnly = true,
            Secure = true,
            SameSite = SameSiteMode.Lax,
            Path = "/",
            MaxAge = TimeSpan.FromDays(365),
            IsEssential = true,
        });
        context.Response.Headers.Location = LocalPath.IsLocal(back) ? back : "/";
        return Results.StatusCode(StatusCodes.Status303SeeOther);
    }
}
